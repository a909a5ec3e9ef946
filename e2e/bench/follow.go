package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// follower knows the objects of one kind in one namespace by a watch. Its methods are safe for concurrent use.
type follower struct {
	kind string

	mu      sync.Mutex
	objects map[string]*unstructured.Unstructured
	goals   []*goal
}

// follow returns a follower that knows everything there is already. It ends with ctx.
func follow(ctx context.Context, client dynamic.Interface, resource schema.GroupVersionResource) (*follower, error) {
	f := &follower{kind: resource.Resource, objects: map[string]*unstructured.Unstructured{}}
	informer := dynamicinformer.NewFilteredDynamicInformer(client, resource, namespace, 0, cache.Indexers{}, nil).Informer()
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { f.see(o, false) },
		UpdateFunc: func(_, o any) { f.see(o, false) },
		DeleteFunc: func(o any) { f.see(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", f.kind, err)
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil, fmt.Errorf("watch %s: %w", f.kind, context.Cause(ctx))
	}
	return f, nil
}

// see takes in what the watch told.
func (f *follower) see(event any, deleted bool) {
	now := time.Now()
	o, ok := event.(*unstructured.Unstructured)
	if !ok {
		return // the remains of a deletion that the watch missed
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.objects[o.GetName()] = o
	if deleted {
		delete(f.objects, o.GetName())
	}
	for _, g := range f.goals {
		g.see(o.GetName(), f.objects[o.GetName()], now)
	}
}

// get returns the object as last seen, nil if there is none.
func (f *follower) get(name string) *unstructured.Unstructured {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.objects[name]
}

// expect begins to look out for a state of the named objects; what completes "97 of 100 …". Objects that are in that
// state already count.
func (f *follower) expect(what string, names []string, reached func(*unstructured.Unstructured) bool) *goal {
	g := &goal{what: what, reached: reached, done: make(chan struct{}), arrived: map[string]bool{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		g.arrived[name] = false
	}
	for _, name := range names {
		g.see(name, f.objects[name], time.Now())
	}
	f.goals = append(f.goals, g)
	return g
}

func (f *follower) forget(g *goal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.goals = slices.DeleteFunc(f.goals, func(other *goal) bool { return other == g })
}

// standing is how many objects of a goal have arrived, and what some of the others say.
func (f *follower) standing(g *goal) (arrived int, others []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var waiting []string
	for name, there := range g.arrived {
		if !there {
			waiting = append(waiting, name)
		}
	}
	slices.Sort(waiting)
	for _, name := range waiting[:min(len(waiting), mostNamed)] {
		others = append(others, name+" "+complaint(f.objects[name]))
	}
	if more := len(waiting) - mostNamed; more > 0 {
		others = append(others, fmt.Sprintf("and %d more", more))
	}
	return g.count, others
}
