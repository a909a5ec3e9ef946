package oci

import (
	"context"
	"fmt"
)

// Tags lists the tags of the repository, all pages of them: one request each.
func (r *Repository) Tags(ctx context.Context) ([]string, error) {
	host := r.session.host()
	ask := asking{what: "the list of tags", limit: r.limits.Page, tooLarge: fmt.Errorf(
		"%w: a page of the tags of %s in %s has more than %d bytes, which is a fixed limit; name a tag or a digest in spec.ref",
		ErrTooLarge, r.name.RepositoryStr(), host, r.limits.Page)}
	ctx = asks(ctx, ask)
	lister, err := r.puller.Lister(ctx, r.name)
	if err != nil {
		return nil, r.session.describe(ctx, ask, err)
	}
	var all []string
	for pages := 1; lister.HasNext(); pages++ {
		page, err := lister.Next(ctx)
		if err != nil {
			return nil, r.session.describe(ctx, ask, err)
		}
		if all = append(all, page.Tags...); len(all) > r.limits.Tags || pages > r.limits.Pages {
			return nil, fmt.Errorf("%w: %s in %s has more than %d tags, or lists them on more than %d pages, which are fixed limits; name a tag or a digest in spec.ref",
				ErrTooLarge, r.name.RepositoryStr(), host, r.limits.Tags, r.limits.Pages)
		}
	}
	return all, nil
}
