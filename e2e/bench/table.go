package bench

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const columnGap = "   "

// table is text in columns: the first to the left, the others to the right. A row may have fewer cells than others.
type table struct{ rows [][]string }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// WriteTo prints the rows, each on a line.
func (t *table) WriteTo(w io.Writer) (int64, error) {
	widths := t.widths()
	var text strings.Builder
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			padding := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if i == 0 {
				line.WriteString(cell + padding)
			} else {
				line.WriteString(columnGap + padding + cell)
			}
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	n, err := io.WriteString(w, text.String())
	if err != nil {
		return int64(n), fmt.Errorf("print: %w", err)
	}
	return int64(n), nil
}

// widths are the columns' in characters. A row of one cell is a heading and may be wider.
func (t *table) widths() []int {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(row) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	return widths
}
