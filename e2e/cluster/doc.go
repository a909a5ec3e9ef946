// Package cluster runs a real Kubernetes control plane without containers, for
// tests, the demo and `make up`.
//
// Read it in this order:
//
//   - e2e/build finds or builds the programs that e2e/controlplane pins.
//   - cluster.go starts and stops everything ([Start], [Cluster]); components.go
//     holds the command line of each process, certs.go and kubeconfig.go the
//     identities.
//   - stages/ plays the kubelets: pods that run, fail and crash on request.
//   - audit.go tells who asked the API server for what ([Cluster.Audit]).
//   - process.go runs any child process that tests kill and restart ([Process]).
//   - gitserver serves repositories over smart HTTP and can misbehave; sink
//     receives notifications as Slack and PagerDuty would.
//
// The API server has RBAC, ServiceAccount tokens, the default admission chain
// and both admission policies; controllers and scheduler are the real ones.
// Only the kubelets are simulated, so nothing is executed: there are no pod
// logs, no exec and no traffic between pods or through Services.
package cluster
