// Package stack runs Sluice on a local control plane exactly as its chart says, without containers.
//
// [Start] installs charts/sluice with Helm's own command line and zero replicas, reads the Deployments and the
// StatefulSet back, and starts each as a process: with the chart's flags and environment, with the token of the chart's
// ServiceAccount, with its Secrets and ConfigMaps as folders. Only addresses and paths are rewritten (see [Translate]).
// What works here works with the chart's flags and the chart's rights.
package stack
