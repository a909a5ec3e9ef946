// Package render makes the content of one subject from its source artifact, in a worker process.
//
// The controller calls [Renderer.Render] with a [Job]. In the child [Serve] does it: kustomize or helm, and sops. Objects
// come back one by one. An error that the user can mend is a [*Failure] with Flux's reason.
package render
