// Package helm renders a chart the way Helm does, without a cluster, and describes the outcome as Helm's storage keeps it.
// No other package of this module imports Helm.
//
// Read [Render] first; load.go holds what is refused before Helm sees the archive, manifest.go what becomes of the text.
//
// What differs from `helm install`, on purpose:
//   - lookup answers empty and getHostByName answers "": a chart reaches neither the cluster nor DNS. [Output.Lookups] says
//     what was looked up, so that its user can be warned.
//   - values.schema.json may not refer to files or URLs: Helm would read them with the controller's rights.
//   - objects keep an empty namespace. Which kinds are namespaced is only known to the API server, so sync-controller
//     fills in the release's namespace when it applies.
//
// Templates run with no deadline of their own: text/template cannot be interrupted. Render in a process that can be killed.
package helm
