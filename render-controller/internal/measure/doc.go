// Package measure has what render-controller measures of its own work, as Prometheus collectors: see the README's table. Those who
// work call its methods; a nil [Metrics] measures nothing.
package measure
