package helmrepo

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Find returns the version of a chart that is asked for: the one of exactly that name, or the newest in the range. Without one, and
// for "*", that is the newest stable one. file is the index that x was read from.
func (x *Index) Find(file io.ReaderAt, chart, asked string) (*Version, error) {
	at, ok := x.charts[chart]
	if !ok {
		return nil, fmt.Errorf("%w: the index does not list chart %q%s", ErrNoChart, shortened(chart), x.near(chart))
	}
	constraint, err := semver.NewConstraint(orAny(asked))
	if err != nil {
		return nil, fmt.Errorf("%w: %q is neither a version nor a range of versions", ErrNoVersion, asked)
	}
	c := &choice{asked: asked, constraint: constraint}
	if err := at.read(file, chart, c.consider); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	if best := c.best(); best != nil {
		return best, nil
	}
	return nil, fmt.Errorf("%w: no version of chart %q is %q; %s", ErrNoVersion, chart, asked, c.there())
}

func orAny(asked string) string {
	if asked == "" {
		return "*"
	}
	return asked
}

// read decodes the versions of a chart.
func (p place) read(file io.ReaderAt, chart string, yield func(*Version, error)) error {
	section := io.NewSectionReader(file, p.offset, p.length)
	v := visit(func(it item) error { it.each(yield); return nil })
	switch p.style {
	case jsonStyle:
		if p.length == 0 {
			return nil
		}
		j := newJSONWalk(section, 0, v)
		if err := j.open('['); err != nil {
			return err
		}
		return j.items()
	case wholeStyle:
		d, err := readWhole(io.NewSectionReader(file, 0, maxWhole+1))
		if err != nil {
			return err
		}
		node := d.Entries[chart]
		versions(&node, yield)
		return nil
	case inlineStyle, valueStyle:
		raw, err := io.ReadAll(section)
		if err != nil {
			return err
		}
		return v.item(item{raw: raw, style: p.style, tooLong: len(raw) > maxEntry})
	}
	return readList(section, v)
}

// readList goes through a list in block style.
func readList(r io.Reader, v visitor) error {
	in := newLines(r)
	l := list{indent: -1, emit: func(raw []byte, line int, tooLong bool) error {
		return v.item(item{raw: raw, style: blockStyle, line: line, tooLong: tooLong})
	}}
	for {
		p, err := in.next()
		if errors.Is(err, io.EOF) {
			return l.close()
		}
		if err != nil {
			return err
		}
		k, indent, _ := p.look()
		if !p.starts {
			k = filling
		}
		if err := l.line(p, k, indent); err != nil {
			return err
		}
	}
}

// visit is a visitor that looks at items only.
type visit func(item) error

func (visit) begin(string, int) error { return nil }
func (v visit) item(it item) error    { return v(it) }
func (visit) end(place) error         { return nil }
func (visit) cut(bool) error          { return nil }

// choice picks a version.
type choice struct {
	asked      string
	constraint *semver.Constraints
	// exact is the version of exactly the name that is asked for, newest the best one that matches.
	exact, newest *candidate
	// others are the newest of those that do not match.
	others []*semver.Version
}

type candidate struct {
	*Version
	parsed *semver.Version
}

// listed is how many versions are named when none matches.
const listed = 3

func (c *choice) consider(v *Version, err error) {
	if err != nil {
		return
	}
	parsed, err := semver.NewVersion(v.Version)
	if err != nil {
		return
	}
	candidate := &candidate{v, parsed}
	if v.Version == c.asked && (c.exact == nil || candidate.after(c.exact)) {
		c.exact = candidate
	}
	// As in Flux, a range is for versions with three numbers only.
	if _, err := semver.StrictNewVersion(strings.TrimPrefix(v.Version, "v")); err != nil || !c.constraint.Check(parsed) {
		c.others = append(c.others, parsed)
		slices.SortFunc(c.others, func(a, b *semver.Version) int { return b.Compare(a) })
		c.others = c.others[:min(len(c.others), listed)]
		return
	}
	if c.newest == nil || candidate.after(c.newest) {
		c.newest = candidate
	}
}

// after reports whether v is the newer one: by its version, or, where these differ in what does not count only, by when it was
// made.
func (v *candidate) after(other *candidate) bool {
	if c := v.parsed.Compare(other.parsed); c != 0 {
		return c > 0
	}
	return v.created().After(other.created())
}

func (c *choice) best() *Version {
	switch {
	case c.exact != nil:
		return c.exact.Version
	case c.newest != nil:
		return c.newest.Version
	}
	return nil
}

// there says what there is instead.
func (c *choice) there() string {
	if len(c.others) == 0 {
		return "the index has none of it that can be used"
	}
	var names []string
	for _, v := range c.others {
		names = append(names, shortened(v.Original()))
	}
	hint := ""
	if c.others[0].Prerelease() != "" {
		hint = " (a range such as >0.0.0-0 includes those before a release)"
	}
	return "the newest are " + strings.Join(names, ", ") + hint
}

// near names the charts that somebody may have meant.
func (x *Index) near(chart string) string {
	var names []string
	for name := range x.charts {
		if len(chart) <= maxName && similar(name, chart) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf(", nor one with such a name, among its %d", len(x.charts))
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(a, chart), distance(b, chart)), strings.Compare(a, b))
	})
	return "; near are " + strings.Join(names[:min(len(names), listed)], ", ")
}

// similar reports whether one name has the other in it, or two letters make the difference at most.
func similar(name, asked string) bool {
	a, b := strings.ToLower(name), strings.ToLower(asked)
	return strings.Contains(a, b) || len(a) > 2 && strings.Contains(b, a) || distance(a, b) <= 2
}

// distance is how many letters have to be changed, added or removed to get from one name to another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, changed)
		}
	}
	return row[len(b)]
}
