package chart

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"helm.sh/helm/v3/pkg/chart"
)

// requested are the dependencies of a chart: in the versions that Chart.lock has for them, if that was written for what is in
// Chart.yaml now. One that was not would bring back what its author has changed since. What is in the same source has the version
// that is there.
func requested(c *chart.Chart) []*chart.Dependency {
	want := c.Metadata.Dependencies
	if c.Lock == nil || !inSync(want, c.Lock) {
		return want
	}
	locked := make([]*chart.Dependency, len(want))
	for i, w := range want {
		locked[i] = w
		if w == nil || local(w) || i >= len(c.Lock.Dependencies) || c.Lock.Dependencies[i] == nil || c.Lock.Dependencies[i].Name != w.Name {
			continue
		}
		pinned := *w
		pinned.Version = c.Lock.Dependencies[i].Version
		if pinned.Repository == "" {
			pinned.Repository = c.Lock.Dependencies[i].Repository
		}
		locked[i] = &pinned
	}
	return locked
}

// inSync reports whether a lock has the digest that Helm gives to what is wanted and what is locked; or, in a lock of Helm 2, to
// what is wanted alone.
func inSync(want []*chart.Dependency, lock *chart.Lock) bool {
	return lock.Digest == digestOf([2][]*chart.Dependency{want, lock.Dependencies}) ||
		lock.Digest == digestOf(map[string][]*chart.Dependency{"dependencies": want})
}

func digestOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
