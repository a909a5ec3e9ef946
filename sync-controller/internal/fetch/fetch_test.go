package fetch

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// digestOfData is the SHA-256 of "data".
const digestOfData = "sha256:3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"

func TestGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/data":
			_, _ = w.Write([]byte("data"))
		case "/away":
			http.Redirect(w, r, "/data", http.StatusFound)
		case "/broken":
			http.Error(w, "broken", http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	for name, tc := range map[string]struct {
		reason, url, digest string
		size                int64
		want                string
		gone                bool
	}{
		"good":         {reason: "the file that the record names", url: server.URL + "/data", digest: digestOfData, size: 4},
		"other digest": {reason: "a replaced file is refused", url: server.URL + "/data", digest: "sha256:00", size: 4, want: "its record says sha256:00"},
		"longer":       {reason: "no byte more than announced is read", url: server.URL + "/data", digest: digestOfData, size: 3, want: "3 bytes"},
		"shorter":      {reason: "a cut file is refused", url: server.URL + "/data", digest: digestOfData, size: 5, want: "5 bytes"},
		"too large":    {reason: "what is too large is not asked for", url: server.URL + "/data", digest: digestOfData, size: 1 << 40, want: "at most"},
		"negative":     {reason: "a size is not negative", url: server.URL + "/data", digest: digestOfData, size: -1, want: "at most"},
		"redirect":     {reason: "no redirect is followed", url: server.URL + "/away", digest: digestOfData, size: 4, want: "redirects are not followed"},
		"server error": {reason: "other answers are errors", url: server.URL + "/broken", digest: digestOfData, size: 4, want: "500"},
		"not there":    {reason: "a newer record is on its way", url: server.URL + "/x", digest: digestOfData, size: 4, want: "gone", gone: true},
		"file URL":     {reason: "only http is spoken", url: "file:///etc/passwd", digest: digestOfData, size: 4, want: "no http or https URL"},
		"no URL":       {reason: "a record may be damaged", url: "http://\x00", digest: digestOfData, size: 4, want: "no http or https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := New().Get(t.Context(), tc.url, tc.digest, tc.size)
			if tc.want == "" {
				if err != nil || string(data) != "data" {
					t.Errorf("%s: %q, %v", tc.reason, data, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, ErrGone) != tc.gone {
				t.Errorf("%s: %v, want %q", tc.reason, err, tc.want)
			}
		})
	}
}
