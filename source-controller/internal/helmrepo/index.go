package helmrepo

import (
	"fmt"
	"io"
	"strings"
)

// Index is the table of contents of an index file. It is small, and safe for concurrent use.
type Index struct {
	charts map[string]place
	// Versions is how many versions are listed; 0 unless they were checked.
	Versions int
	// Broken are the first few entries that are left out, and Omitted is how many others are. Both are known only if the
	// versions were checked.
	Broken  []Broken
	Omitted int
}

// place is where the versions of a chart lie in the file.
type place struct {
	style          style
	offset, length int64
}

// style is how versions are written.
type style byte

const (
	// blockStyle: a list in YAML's block style, as Helm writes it.
	blockStyle style = iota
	// inlineStyle: a chart's name in YAML, and behind it anything.
	inlineStyle
	// valueStyle: anything in YAML.
	valueStyle
	// jsonStyle: a list in JSON.
	jsonStyle
	// wholeStyle: the index has to be read as a whole.
	wholeStyle
)

// Broken is an entry that is left out.
type Broken struct {
	// Chart is the name it is listed under, Line where it begins; 0 if that is not known.
	Chart string
	Line  int
	// Why is what is wrong, in words that do not quote it.
	Why string
}

func (b Broken) String() string {
	if b.Line == 0 {
		return fmt.Sprintf("%q: %s", b.Chart, b.Why)
	}
	return fmt.Sprintf("%q in line %d: %s", b.Chart, b.Line, b.Why)
}

// maxBroken bounds how many broken entries are told one by one.
const maxBroken = 5

// Charts is how many charts are listed.
func (x *Index) Charts() int { return len(x.charts) }

// Notice says which entries are left out; empty if none are.
func (x *Index) Notice() string {
	if len(x.Broken) == 0 {
		return ""
	}
	var list []string
	for _, b := range x.Broken {
		list = append(list, b.String())
	}
	if x.Omitted > 0 {
		list = append(list, fmt.Sprintf("and %d more", x.Omitted))
	}
	return "left out of the index: " + strings.Join(list, "; ")
}

// Read checks an index from its start to its end, each version on its own, and returns its table of contents. A version, or a
// chart, that is broken is left out; an index that is none, or is cut off, is refused.
func Read(file io.ReadSeeker) (*Index, error) { return read(file, true) }

// Outline is Read for a file that was checked before: it does not look at the versions again.
func Outline(file io.ReadSeeker) (*Index, error) { return read(file, false) }

func read(file io.ReadSeeker, check bool) (*Index, error) {
	b := &builder{index: &Index{charts: map[string]place{}}, check: check}
	if err := walk(file, b); err != nil {
		return nil, err
	}
	return b.index, nil
}

// builder makes an Index of what a walk finds.
type builder struct {
	index *Index
	check bool
	// chart is the one whose versions come now, at the given line; skip is set when it is left out, lastBroken when the last
	// version of it was.
	chart      string
	skip       bool
	lastBroken bool
}

func (b *builder) begin(chart string, line int) error {
	b.chart, b.lastBroken = chart, false
	_, twice := b.index.charts[chart]
	switch {
	case len(b.index.charts) >= maxCharts:
		return fmt.Errorf("%w: it lists more than %d charts", ErrIndex, maxCharts)
	case chart == "" || len(chart) > maxName:
		b.leaveOut(line, fmt.Errorf("a name has between 1 and %d bytes", maxName))
		b.chart, b.skip = shortened(chart), true
	case twice:
		b.leaveOut(line, fmt.Errorf("it is listed twice; the first one counts"))
		b.skip = true
	default:
		b.skip = false
		b.index.charts[chart] = place{}
	}
	return nil
}

func (b *builder) item(it item) error {
	if !b.check || b.skip {
		return nil
	}
	b.lastBroken = false
	it.each(func(v *Version, err error) {
		if err == nil {
			b.index.Versions++
			return
		}
		b.lastBroken = true
		b.leaveOut(it.line, err)
	})
	return nil
}

func (b *builder) end(p place) error {
	if !b.skip {
		b.index.charts[b.chart] = p
	}
	return nil
}

// cut reports that the file ended inside the entries; broken says that it did so inside a line.
func (b *builder) cut(inLine bool) error {
	if inLine || b.lastBroken {
		return fmt.Errorf("%w: it ends inside an entry of chart %q", ErrTruncated, shortened(b.chart))
	}
	return nil
}

func (b *builder) leaveOut(line int, why error) {
	if len(b.index.Broken) >= maxBroken {
		b.index.Omitted++
		return
	}
	b.index.Broken = append(b.index.Broken, Broken{Chart: shortened(b.chart), Line: line, Why: why.Error()})
}

// shortened is a name as messages show it.
func shortened(name string) string {
	const limit = 60
	if len(name) <= limit {
		return name
	}
	return strings.ToValidUTF8(name[:limit], "") + "…"
}
