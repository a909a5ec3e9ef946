package local

import "testing"

func TestFleetSize(t *testing.T) {
	tests := map[string]struct {
		reason, text string
		want         int
		fails        bool
	}{
		"Unset":     {reason: "make bench alone measures what the figures are stated for", text: "", want: 100},
		"Set":       {reason: "a larger fleet shows how cost grows", text: "1000", want: 1000},
		"NotNumber": {reason: "a slip must not measure something else", text: "1e3", fails: true},
		"None":      {reason: "there is nothing to measure", text: "0", fails: true},
		"TooLarge":  {reason: "the addresses of the Services would run out", text: "2001", fails: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := fleetSize(tc.text)
			if got != tc.want || (err != nil) != tc.fails {
				t.Errorf("%s: got %d, error %v", tc.reason, got, err)
			}
		})
	}
}
