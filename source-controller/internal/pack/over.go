package pack

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
)

// ErrConflict says that what is laid over a tree has no place in it.
var ErrConflict = errors.New("the place is taken")

// Layer is a part of another tree, and where it goes.
type Layer struct {
	Tree Tree
	// From is the folder or file of the tree that is taken, empty for all of it; To is its path in the tree that it is laid over.
	From, To string
}

// Over is a tree with others laid over it, one after the other. A layer only adds: a folder, or a file, that is there already
// is not replaced, since then what is packed would depend on who comes first; and nothing goes through a link or a file. Walk
// fails with [ErrConflict] then, and with [ErrNoFolder] if a layer's tree does not have what is taken of it.
func Over(base Tree, layers []Layer, l Limits) Tree {
	if len(layers) == 0 {
		return base
	}
	return over{base: base, layers: layers, limits: l}
}

type over struct {
	base   Tree
	layers []Layer
	limits Limits
}

// Walk implements [Tree]: the base first, then each layer below the folders that it needs.
func (o over) Walk(ctx context.Context, visit func(Entry) error) error {
	p := placed{kinds: map[string]Kind{}, limits: o.limits, visit: visit}
	if err := o.base.Walk(ctx, p.add); err != nil {
		return err
	}
	for _, layer := range o.layers {
		if err := p.layer(ctx, layer); err != nil {
			return err
		}
	}
	return nil
}

// placed is what was visited until now.
type placed struct {
	kinds  map[string]Kind
	limits Limits
	visit  func(Entry) error
}

func (p *placed) add(e Entry) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if p.kinds[e.Path] = e.Kind; len(p.kinds) > p.limits.Files {
		return tooMany(p.limits)
	}
	return p.visit(e)
}

// layer places a layer.
func (p *placed) layer(ctx context.Context, layer Layer) error {
	from, to := clean(layer.From), clean(layer.To)
	if err := p.folders(to); err != nil {
		return err
	}
	found := false
	if from == "" { // which no tree has an entry for
		found = true
		if err := p.add(Entry{Path: to, Kind: Dir}); err != nil {
			return err
		}
	}
	err := layer.Tree.Walk(ctx, func(e Entry) error {
		rest, inside := below(from, e.Path)
		if !inside {
			return nil
		}
		if rest != "" { // before it is joined, which would make ".." a name
			if err := checkPath(rest); err != nil {
				return err
			}
		}
		found = true
		e.Path = path.Join(to, rest)
		return p.add(e)
	})
	if err == nil && !found {
		return fmt.Errorf("%w: %s", ErrNoFolder, shown(from))
	}
	return err
}

// below is what is left of a path from a folder on; inside is false if it lies elsewhere.
func below(folder, p string) (rest string, inside bool) {
	switch {
	case folder == "":
		return p, true
	case p == folder:
		return "", true
	}
	return strings.CutPrefix(p, folder+"/")
}

// folders makes those on the way to a place, which has to be free.
func (p *placed) folders(to string) error {
	if _, taken := p.kinds[to]; taken || to == "" {
		return fmt.Errorf("%w: %s is there already", ErrConflict, shown(to))
	}
	parts := strings.Split(to, "/")
	for i := 1; i < len(parts); i++ {
		parent := strings.Join(parts[:i], "/")
		kind, there := p.kinds[parent]
		if there && kind != Dir {
			return fmt.Errorf("%w: %s is no folder", ErrConflict, shown(parent))
		}
		if there {
			continue
		}
		if err := p.add(Entry{Path: parent, Kind: Dir}); err != nil {
			return err
		}
	}
	return nil
}
