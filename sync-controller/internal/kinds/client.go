package kinds

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Client is an API client without a cache that finds kinds again: when the API server knows nothing of the resource that a
// kind had, it asks for the kind anew, and makes the request once more if the kind has another resource now. A client of
// controller-runtime remembers the first answer for as long as it lives.
//
// It does so for reads, applies, creations, patches and deletions; everything else goes to the client that it was made with.
// Make it with [NewClient]; it is safe for concurrent use.
type Client struct {
	client.Client
	make   func() (client.Client, error)
	mapper *Mapper

	mu      sync.Mutex
	current remembering
}

// remembering is a client, and which of the mapper's memories it has drawn from.
type remembering struct {
	client.Client
	memory int64
}

// NewClient returns a client. make is called for the first requests, and again after the mapper has forgotten what the client
// before remembers; it has to use the mapper.
func NewClient(mapper *Mapper, make func() (client.Client, error)) (*Client, error) {
	memory := mapper.memory()
	first, err := make()
	if err != nil {
		return nil, err
	}
	return &Client{Client: first, make: make, mapper: mapper, current: remembering{first, memory}}, nil
}

// Get implements client.Client.
func (c *Client) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return c.send(ctx, c.kindOf(o), func(one client.Client) error { return one.Get(ctx, key, o, opts...) })
}

// List implements client.Client.
func (c *Client) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.send(ctx, c.kindOf(list), func(one client.Client) error { return one.List(ctx, list, opts...) })
}

// Apply implements client.Client.
func (c *Client) Apply(ctx context.Context, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
	return c.send(ctx, c.kindOfConfiguration(o), func(one client.Client) error { return one.Apply(ctx, o, opts...) })
}

// Create implements client.Client.
func (c *Client) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return c.send(ctx, c.kindOf(o), func(one client.Client) error { return one.Create(ctx, o, opts...) })
}

// Patch implements client.Client.
func (c *Client) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return c.send(ctx, c.kindOf(o), func(one client.Client) error { return one.Patch(ctx, o, p, opts...) })
}

// Delete implements client.Client.
func (c *Client) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return c.send(ctx, c.kindOf(o), func(one client.Client) error { return one.Delete(ctx, o, opts...) })
}

// send makes a request, and makes it again if its kind turns out to have another resource.
func (c *Client) send(ctx context.Context, gvk schema.GroupVersionKind, request func(client.Client) error) error {
	one, memory, err := c.now()
	if err != nil {
		return err
	}
	err = request(one)
	if gvk.Kind == "" || !Unserved(err) || meta.IsNoMatchError(err) {
		return err
	}
	if c.mapper.recall(ctx, gvk) != nil || memory == c.mapper.memory() {
		return err
	}
	if one, _, err = c.now(); err != nil {
		return err
	}
	return request(one)
}

// now returns a client that remembers nothing older than the mapper does, and which memory that is.
func (c *Client) now() (client.Client, int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if memory := c.mapper.memory(); memory != c.current.memory {
		fresh, err := c.make()
		if err != nil {
			return nil, 0, fmt.Errorf("make API client: %w", err)
		}
		c.current = remembering{fresh, memory}
	}
	return c.current.Client, c.current.memory, nil
}

// kindOf is the kind of an object, or of a list's items; empty when it is not known.
func (c *Client) kindOf(o runtime.Object) schema.GroupVersionKind {
	gvk, err := c.GroupVersionKindFor(o)
	if err != nil {
		return schema.GroupVersionKind{}
	}
	if meta.IsListType(o) {
		gvk.Kind = gvk.Kind[:max(0, len(gvk.Kind)-len("List"))]
	}
	return gvk
}

// kindOfConfiguration is the kind of what is to be applied. An unstructured object is one, too.
func (c *Client) kindOfConfiguration(o runtime.ApplyConfiguration) schema.GroupVersionKind {
	switch named := o.(type) {
	case runtime.Object:
		return c.kindOf(named)
	case interface {
		GetAPIVersion() *string
		GetKind() *string
	}:
		return schema.FromAPIVersionAndKind(ptr.Deref(named.GetAPIVersion(), ""), ptr.Deref(named.GetKind(), ""))
	}
	return schema.GroupVersionKind{}
}

// Unserved says that the API server knows nothing of a kind in some version, whether or not the object exists: the mapper
// has not found it, or the server answers with less than a status of its own.
func Unserved(err error) bool {
	return meta.IsNoMatchError(err) ||
		apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}
