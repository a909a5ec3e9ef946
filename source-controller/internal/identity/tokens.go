package identity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fluxcd/pkg/auth"
	"github.com/fluxcd/pkg/cache"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"
)

// fetchTimeout bounds one request for a token, whoever waits for it.
const fetchTimeout = 30 * time.Second

// metricsPrefix makes the names of the metrics those of Flux.
const metricsPrefix = "gotk_token_"

// tokens are those that are kept. Whoever wants the same one at the same time waits for one request; nobody waits for that of
// another, as they would behind the lock of cache.TokenCache.
type tokens struct {
	lru     *cache.LRU[kept] // nil: none are kept
	ttl     time.Duration
	clock   func() time.Time
	flights singleflight.Group
	refused sync.Map // of objects
}

// kept is a token, and until when it may be used.
type kept struct {
	token auth.Token
	until time.Time
}

func newTokens(o Options, metrics prometheus.Registerer) (*tokens, error) {
	t := &tokens{ttl: o.CacheTTL, clock: o.Clock}
	if o.CacheSize < 1 || o.CacheTTL <= 0 {
		return t, nil
	}
	var err error
	t.lru, err = cache.NewLRU[kept](o.CacheSize, cache.WithMetricsRegisterer(metrics), cache.WithMetricsPrefix(metricsPrefix))
	if err != nil {
		return nil, fmt.Errorf("make the cache of tokens: %w", err)
	}
	return t, nil
}

// get returns the token that is kept by a name, or a new one. It ends when the context does; the request goes on for those
// that want the same one.
func (t *tokens) get(ctx context.Context, s Subject, name string, fetch func(context.Context) (auth.Token, error)) (auth.Token, error) {
	if token, ok := t.find(name); ok && !s.fresh {
		t.event(s, cache.CacheEventTypeHit)
		return token, nil
	}
	t.event(s, cache.CacheEventTypeMiss)
	landed := t.flights.DoChan(name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		token, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		t.keep(name, token)
		return token, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-landed:
		if result.Err != nil {
			return nil, result.Err
		}
		token, ok := result.Val.(auth.Token)
		if !ok {
			return nil, errors.New("no token")
		}
		return token, nil
	}
}

func (t *tokens) find(name string) (auth.Token, bool) {
	if t.lru == nil {
		return nil, false
	}
	k, err := t.lru.Get(name)
	if err != nil {
		return nil, false
	}
	// By the clock that only runs on, and by the one on the wall, which is ahead after a machine has slept.
	now := t.clock()
	if now.Before(k.until) && now.Round(0).Before(k.until.Round(0)) {
		return k.token, true
	}
	_ = t.lru.Delete(name) // it fails never
	return nil, false
}

// keep keeps a token for four fifths of the time that it has left, as kubelet does. One without an end is not kept: it comes
// from a file or the environment, and costs no request.
func (t *tokens) keep(name string, token auth.Token) {
	life := min(token.GetDuration()/5*4, t.ttl)
	if t.lru == nil || life <= 0 {
		return
	}
	_ = t.lru.Set(name, kept{token, t.clock().Add(life)}) // it fails never
}

// renew reports, once, that what an object was given was refused.
func (t *tokens) renew(s Subject) bool {
	_, refused := t.refused.LoadAndDelete(object{s.Kind, s.Namespace, s.Name})
	return refused
}

func (t *tokens) event(s Subject, what string) {
	if t.lru != nil {
		t.lru.RecordCacheEvent(what, s.Kind, s.Name, s.Namespace, cache.OperationReconcile)
	}
}

func (t *tokens) forget(kind, namespace, name string) {
	t.refused.Delete(object{kind, namespace, name})
	if t.lru == nil {
		return
	}
	for _, what := range []string{cache.CacheEventTypeHit, cache.CacheEventTypeMiss} {
		t.lru.DeleteCacheEvent(what, kind, name, namespace, cache.OperationReconcile)
	}
}

// collected are the metrics of the cache, for the caller to register where all others are. It is a registry to the cache alone.
type collected []prometheus.Collector

// Register remembers a metric.
func (c *collected) Register(metric prometheus.Collector) error {
	*c = append(*c, metric)
	return nil
}

// MustRegister remembers metrics.
func (c *collected) MustRegister(metrics ...prometheus.Collector) { *c = append(*c, metrics...) }

// Unregister is never called.
func (*collected) Unregister(prometheus.Collector) bool { return false }
