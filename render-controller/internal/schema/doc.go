// Package schema says of a field of a Kubernetes object whether it holds a text, a number or a boolean: by the Go types of the kinds
// that come with Kubernetes, of Flux and of Sluice, and by the schemas of the CustomResourceDefinitions that it is told of
// ([Set.Add]). Of any other kind it knows the metadata.
//
// A field that takes more than one type, such as the port of a probe or a quantity, is [Unknown], as is everything below a field
// without a schema.
package schema
