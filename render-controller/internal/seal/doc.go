// Package seal holds what a rendering is sealed with: the key of the content tags, and the recipients that may open it.
//
// The key is render-controller's own, in a Secret that its replicas share. It is made once and never changed: with another
// key every content would look new. The recipients are sync-controller's, in a ConfigMap that only it writes.
package seal
