package process

import "github.com/go-logr/logr"

// probeLogger is the logger of controller-runtime that says of every probe that it was refused.
const probeLogger = "healthz"

// quietProbes keeps refused probes for debugging. A standby refuses every probe of its readiness for as long as it stands by, and
// every process does until its caches are filled: the kubelet says so on the Pod, and there is nothing for an operator to do.
func quietProbes(log logr.Logger) logr.Logger {
	return log.WithSink(&probeFilter{LogSink: log.WithCallDepth(1).GetSink()})
}

// probeFilter finds the logger of the probes by its name.
type probeFilter struct {
	logr.LogSink
	// more is how much more verbose the operator has to ask for.
	more int
}

// Enabled implements [logr.LogSink].
func (f *probeFilter) Enabled(level int) bool { return f.LogSink.Enabled(level + f.more) }

// Info implements [logr.LogSink].
func (f *probeFilter) Info(level int, message string, values ...any) {
	f.LogSink.Info(level+f.more, message, values...)
}

// WithName implements [logr.LogSink].
func (f *probeFilter) WithName(name string) logr.LogSink {
	more := f.more
	if name == probeLogger {
		more = 1
	}
	return &probeFilter{LogSink: f.LogSink.WithName(name), more: more}
}

// WithValues implements [logr.LogSink].
func (f *probeFilter) WithValues(values ...any) logr.LogSink {
	return &probeFilter{LogSink: f.LogSink.WithValues(values...), more: f.more}
}

// WithCallDepth implements [logr.CallDepthLogSink].
func (f *probeFilter) WithCallDepth(depth int) logr.LogSink {
	if deeper, ok := f.LogSink.(logr.CallDepthLogSink); ok {
		return &probeFilter{LogSink: deeper.WithCallDepth(depth), more: f.more}
	}
	return f
}
