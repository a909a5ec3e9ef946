package tree

import (
	"fmt"
	"testing"
)

// BenchmarkNextCommit unpacks the artifact of a commit that changes one of 500 files, after the one before it.
func BenchmarkNextCommit(b *testing.B) {
	members := make([]member, 500)
	for i := range members {
		members[i] = file(fmt.Sprintf("apps/app-%03d/deployment-%d.yaml", i/5, i%5), fmt.Sprintf("kind: ConfigMap # %d\n%0800d\n", i, i))
	}
	cache := newCache(b, Options{})
	acquire := func(edition int) {
		members[0].content = fmt.Sprintf("edition: %d\n", edition)
		content := pack(b, members...)
		url, _ := serve(b, content)
		b.StartTimer()
		_, release, err := cache.Acquire(b.Context(), Artifact{URL: url + "/gitrepository/apps/fleet/x.tar.gz", Digest: digestOf(content)})
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
	b.StopTimer()
	acquire(0)
	b.ResetTimer()
	for i := range b.N {
		acquire(i + 1)
	}
}
