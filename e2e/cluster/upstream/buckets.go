package upstream

import (
	"crypto/md5" // S3 names contents by MD5
	"encoding/hex"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// pageSize is how many keys a listing has at once; S3 has 1000. A small page shows whether a client asks for the next.
const pageSize = 100

// Buckets is an S3-compatible store, addressed by path. It checks signatures (see signature.go).
type Buckets struct {
	*server

	mu      sync.Mutex
	keys    map[string]string            // secret keys by access key
	buckets map[string]map[string]stored // objects by bucket and key
}

type stored struct {
	content  []byte
	etag     string
	modified time.Time
}

// StartBuckets starts one without buckets; Close ends it.
func StartBuckets() (*Buckets, error) {
	b := &Buckets{keys: map[string]string{}, buckets: map[string]map[string]stored{}}
	var err error
	b.server, err = start(http.HandlerFunc(b.serve))
	return b, err
}

// Allow lets a pair of keys in.
func (b *Buckets) Allow(accessKey, secretKey string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys[accessKey] = secretKey
}

// Replace makes the objects of a bucket those, and makes the bucket if there is none.
func (b *Buckets) Replace(bucket string, objects map[string][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]stored, len(objects))
	for key, content := range objects {
		sum := md5.Sum(content)
		etag := `"` + hex.EncodeToString(sum[:]) + `"`
		if before, ok := b.buckets[bucket][key]; ok && before.etag == etag {
			all[key] = before
			continue
		}
		all[key] = stored{content: content, etag: etag, modified: time.Now().UTC().Truncate(time.Second)}
	}
	b.buckets[bucket] = all
}

func (b *Buckets) serve(w http.ResponseWriter, r *http.Request) {
	if code := b.refused(r); code != "" {
		fail(w, http.StatusForbidden, code)
		return
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	b.mu.Lock()
	objects, there := b.buckets[bucket]
	object, found := objects[key]
	b.mu.Unlock()
	query := r.URL.Query()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	case !there:
		fail(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && query.Has("location"):
		answer(w, location{})
	case key == "" && r.Method == http.MethodGet:
		answer(w, list(bucket, objects, query))
	case key == "":
		w.WriteHeader(http.StatusOK)
	case !found:
		fail(w, http.StatusNotFound, "NoSuchKey")
	default:
		w.Header().Set("ETag", object.etag)
		w.Header().Set("Last-Modified", object.modified.Format(http.TimeFormat))
		w.Header().Set("Content-Length", strconv.Itoa(len(object.content)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(object.content) // the client may be gone
		}
	}
}

type location struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
}

type failure struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name, Prefix          string
	KeyCount, MaxKeys     int
	IsTruncated           bool
	ContinuationToken     string `xml:",omitempty"`
	NextContinuationToken string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	Contents              []listed
}

type listed struct {
	Key, LastModified, ETag string
	Size                    int
	StorageClass            string
}

// list is a page of ListObjectsV2: the token is the last key of the page before.
func list(bucket string, objects map[string]stored, query url.Values) listing {
	page := listing{
		Name: bucket, Prefix: query.Get("prefix"), MaxKeys: pageSize, ContinuationToken: query.Get("continuation-token"),
		EncodingType: query.Get("encoding-type"),
	}
	after := max(page.ContinuationToken, query.Get("start-after"))
	for _, key := range slices.Sorted(maps.Keys(objects)) {
		if key <= after || !strings.HasPrefix(key, page.Prefix) {
			continue
		}
		if len(page.Contents) == pageSize {
			page.IsTruncated, page.NextContinuationToken = true, after
			break
		}
		after = key
		object := objects[key]
		name := key
		if page.EncodingType == "url" {
			name = url.QueryEscape(key)
		}
		page.Contents = append(page.Contents, listed{
			Key: name, LastModified: object.modified.Format(time.RFC3339), ETag: object.etag, Size: len(object.content), StorageClass: "STANDARD",
		})
	}
	page.KeyCount = len(page.Contents)
	return page
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(body) // the client may be gone
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(failure{Code: code, Message: code}) // the client may be gone
}
