// Package buckettest has small servers that speak the documented protocols of object storages, for tests: S3 with its
// signatures and its Security Token Service, Google's JSON API, Azure's Blob REST. They count what they are asked.
package buckettest

import (
	"crypto/md5" //nolint:gosec // what ETags are made with
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Object is what a bucket holds under a key.
type Object struct {
	Content string
	// ETag is the MD5 of the content unless it is set.
	ETag string
}

func (o Object) etag() string {
	if o.ETag != "" {
		return o.ETag
	}
	sum := md5.Sum([]byte(o.Content)) //nolint:gosec // what ETags are made with
	return hex.EncodeToString(sum[:])
}

// Shelf holds the objects of one bucket, whichever service serves it. It is safe for concurrent use.
type Shelf struct {
	mu      sync.Mutex
	objects map[string]Object
	sorted  []string
}

// Put replaces everything.
func (s *Shelf) Put(objects map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects, s.sorted = map[string]Object{}, nil
	for key, content := range objects {
		s.objects[key] = Object{Content: content}
	}
}

// Set adds or replaces one object.
func (s *Shelf) Set(key string, o Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[string]Object{}
	}
	s.objects[key], s.sorted = o, nil
}

// Delete removes one object.
func (s *Shelf) Delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
	s.sorted = nil
}

func (s *Shelf) get(key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[key]
	return o, ok
}

// item is an object of a listing.
type item struct {
	key, etag string
	size      int
}

// page lists up to limit objects that start with prefix and come after a key; next is empty at the end.
func (s *Shelf) page(prefix, after string, limit int) (items []item, next string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted == nil {
		for key := range s.objects {
			s.sorted = append(s.sorted, key)
		}
		sort.Strings(s.sorted)
	}
	start := sort.SearchStrings(s.sorted, max(prefix, after))
	for _, key := range s.sorted[start:] {
		if !strings.HasPrefix(key, prefix) {
			break
		}
		if key <= after && after != "" {
			continue
		}
		if len(items) == limit {
			return items, items[len(items)-1].key
		}
		o := s.objects[key]
		items = append(items, item{key: key, etag: o.etag(), size: len(o.Content)})
	}
	return items, ""
}

// Counter counts requests, by what they are for. It is safe for concurrent use.
type Counter struct {
	mu sync.Mutex
	by map[string]int
}

func (c *Counter) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[what]++
}

// Take returns what was counted, such as {"list": 1}, and starts anew.
func (c *Counter) Take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	by := c.by
	c.by = map[string]int{}
	return by
}

// Fault answers in place of a server, if it returns true.
type Fault func(w http.ResponseWriter, r *http.Request) bool

// Faulty is a server that can be told to fail.
type Faulty struct {
	mu    sync.Mutex
	fault Fault
}

// Fail lets a fault answer from now on; nil for none.
func (f *Faulty) Fail(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

func (f *Faulty) failed(w http.ResponseWriter, r *http.Request) bool {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	return fault != nil && fault(w, r)
}

// S3 is a server with one bucket. Who signs with the keys may read it; without keys, everybody may.
type S3 struct {
	*httptest.Server
	Shelf
	Counter
	Faulty

	// Bucket is its name, Region where it is.
	Bucket, Region string
	mu             sync.Mutex
	keys           map[string]Keys
}

// Keys are who may read.
type Keys struct{ Access, Secret, Session string }

// NewS3 starts a server; it ends with the test.
func NewS3(t testing.TB, bucket string) *S3 {
	t.Helper()
	s := newS3(bucket)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// NewS3TLS starts a server behind TLS, with a certificate of httptest's own authority.
func NewS3TLS(t testing.TB, bucket string) *S3 {
	t.Helper()
	s := newS3(bucket)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func newS3(bucket string) *S3 {
	s := &S3{Bucket: bucket, Region: "us-east-1"}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	return s
}

// Host is the server's address as spec.endpoint has it.
func (s *S3) Host() string { return s.Listener.Addr().String() }

// Allow replaces who may read.
func (s *S3) Allow(keys ...Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = map[string]Keys{}
	for _, k := range keys {
		s.keys[k.Access] = k
	}
}

func (s *S3) serve(w http.ResponseWriter, r *http.Request) {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	what := "get"
	switch {
	case query.Has("location"):
		what = "location"
	case key == "" && r.Method == http.MethodGet:
		what = "list"
	case r.Method == http.MethodHead:
		what = "head"
	}
	s.add(what)
	if s.failed(w, r) {
		return
	}
	if code, status := s.authorize(r, what); code != "" {
		Refuse(w, status, code)
		return
	}
	if name != s.Bucket {
		Refuse(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	switch what {
	case "location":
		_, _ = w.Write([]byte(`<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">` + s.Region + `</LocationConstraint>`))
	case "list":
		s.list(w, query)
	default:
		s.get(w, r, key)
	}
}

func (s *S3) authorize(r *http.Request, what string) (code string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		return "", 0
	}
	a, ok := parseAuthorization(r.Header.Get("Authorization"))
	if !ok {
		return "AccessDenied", http.StatusForbidden
	}
	keys, ok := s.keys[a.access]
	switch {
	case !ok:
		return "InvalidAccessKeyId", http.StatusForbidden
	case r.Header.Get("X-Amz-Security-Token") != keys.Session:
		return "InvalidToken", http.StatusBadRequest
	case a.region != s.Region && what != "location":
		return "AuthorizationHeaderMalformed", http.StatusBadRequest
	case !a.signs(r, keys.Secret):
		return "SignatureDoesNotMatch", http.StatusForbidden
	}
	return "", 0
}

func (s *S3) list(w http.ResponseWriter, query url.Values) {
	limit, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil || limit > 1000 {
		limit = 1000
	}
	items, next := s.page(query.Get("prefix"), query.Get("continuation-token"), limit)
	type content struct {
		Key, ETag, LastModified, StorageClass string
		Size                                  int
	}
	result := struct {
		XMLName                    xml.Name `xml:"ListBucketResult"`
		Name, Prefix, EncodingType string
		NextContinuationToken      string `xml:",omitempty"`
		KeyCount, MaxKeys          int
		IsTruncated                bool
		Contents                   []content
	}{Name: s.Bucket, EncodingType: "url", Prefix: url.QueryEscape(query.Get("prefix")), KeyCount: len(items), MaxKeys: limit}
	result.IsTruncated, result.NextContinuationToken = next != "", next
	for _, i := range items {
		result.Contents = append(result.Contents, content{
			Key: url.QueryEscape(i.key), ETag: `"` + i.etag + `"`, Size: i.size,
			LastModified: "2026-01-02T03:04:05.000Z", StorageClass: "STANDARD",
		})
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(result)
}

func (s *S3) get(w http.ResponseWriter, r *http.Request, key string) {
	o, ok := s.Shelf.get(key)
	if !ok {
		Refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if match := r.Header.Get("If-Match"); match != "" && match != `"`+o.etag()+`"` {
		Refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	w.Header().Set("ETag", `"`+o.etag()+`"`)
	w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
	w.Header().Set("Content-Length", strconv.Itoa(len(o.Content)))
	_, _ = w.Write([]byte(o.Content))
}

// Refuse answers with an error as S3 words it. The words are the server's, and nobody's to quote.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(xml.Header + `<Error><Code>` + code + `</Code><Message>quoted-from-server</Message><RequestId>1</RequestId></Error>`))
}

// Host is the address of a server without its scheme.
func Host(address string) string {
	_, host, _ := strings.Cut(address, "://")
	return host
}
