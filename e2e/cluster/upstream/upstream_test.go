package upstream

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestRegistry(t *testing.T) {
	registry, err := StartRegistry()
	must(t, err)
	t.Cleanup(func() { must(t, registry.Close()) })
	folder := map[string][]byte{"apps/a.yaml": []byte("a: 1\n")}
	digest, err := registry.Push(t.Context(), "team/app:1.0.0", folder, map[string]string{"origin": "main"})
	must(t, err)
	must(t, registry.Tag(t.Context(), "team/app:1.0.0", "latest"))
	again, err := registry.Push(t.Context(), "team/app:again", folder, map[string]string{"origin": "main"})
	if err != nil || again != digest {
		t.Errorf("the same files became %s, %v, and %s before", again, err, digest)
	}
	registry.RequireLogin("/v2/team", "ada", "secret")
	latest, err := name.ParseReference(registry.Addr()+"/team/app:latest", name.Insecure)
	must(t, err)
	if _, err := remote.Image(latest); err == nil {
		t.Error("a private repository is served to anybody")
	}
	image, err := remote.Image(latest, remote.WithAuth(&authn.Basic{Username: "ada", Password: "secret"}))
	must(t, err)
	manifest, err := image.Manifest()
	must(t, err)
	if got, _ := image.Digest(); got.String() != digest || manifest.Annotations["origin"] != "main" || len(manifest.Layers) != 1 {
		t.Errorf("got %s with %+v", got, manifest)
	}
	layers, err := image.Layers()
	must(t, err)
	content, err := layers[0].Compressed()
	must(t, err)
	zipped, err := gzip.NewReader(content)
	must(t, err)
	archive := tar.NewReader(zipped)
	header, err := archive.Next()
	must(t, err)
	text, err := io.ReadAll(archive)
	if _, end := archive.Next(); header.Name != "apps/a.yaml" || string(text) != "a: 1\n" || err != nil || !errors.Is(end, io.EOF) {
		t.Errorf("%s holds %q, %v, %v", header.Name, text, err, end)
	}
}

func TestCharts(t *testing.T) {
	charts, err := StartCharts()
	must(t, err)
	t.Cleanup(func() { must(t, charts.Close()) })
	charts.Put("team/stable", "index.yaml", []byte("apiVersion: v1\n"))
	if status, body := get(t, charts.URL("team/stable")+"/index.yaml", nil); status != http.StatusOK || body != "apiVersion: v1\n" {
		t.Errorf("%d %q", status, body)
	}
	if status, _ := get(t, charts.URL("team/stable")+"/none.tgz", nil); status != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", status)
	}
	charts.RequireLogin("/team/stable", "ada", "secret")
	if status, _ := get(t, charts.URL("team/stable")+"/index.yaml", nil); status != http.StatusUnauthorized {
		t.Errorf("without a login: %d", status)
	}
	login := func(r *http.Request) { r.SetBasicAuth("ada", "secret") }
	if status, _ := get(t, charts.URL("team/stable")+"/index.yaml", login); status != http.StatusOK {
		t.Errorf("with the login: %d", status)
	}
	if seen := charts.Requests(); len(seen) != 4 || seen[2].Status != http.StatusUnauthorized || seen[0].Bytes != 15 {
		t.Errorf("recorded %+v", seen)
	}
}

func TestBuckets(t *testing.T) {
	buckets, err := StartBuckets()
	must(t, err)
	t.Cleanup(func() { must(t, buckets.Close()) })
	buckets.Allow("AKIATEST", "se/cr+et")
	objects := map[string][]byte{"other/x": nil}
	for i := range 2*pageSize + 1 {
		objects[fmt.Sprintf("apps/%04d a.yaml", i)] = []byte(fmt.Sprint(i))
	}
	buckets.Replace("fleet", objects)
	base := "http://" + buckets.Addr()
	good := signed(t, "AKIATEST", "se/cr+et")

	var keys []string
	for token, pages := "", 1; ; pages++ {
		address := base + "/fleet?list-type=2&prefix=apps%2F"
		if token != "" {
			address += "&continuation-token=" + escape(token)
		}
		status, body := get(t, address, good)
		var page listing
		must(t, xml.Unmarshal([]byte(body), &page))
		for _, object := range page.Contents {
			keys = append(keys, object.Key)
		}
		if token = page.NextContinuationToken; !page.IsTruncated {
			if status != http.StatusOK || pages != 3 || len(keys) != 2*pageSize+1 {
				t.Errorf("%d keys on %d pages, status %d", len(keys), pages, status)
			}
			break
		}
	}
	if status, body := get(t, base+"/fleet/apps/0007%20a.yaml", good); status != http.StatusOK || body != "7" {
		t.Errorf("an object: %d %q", status, body)
	}
	for what, c := range map[string]struct {
		path   string
		sign   func(*http.Request)
		status int
		code   string
	}{
		"no key":      {"/fleet/apps/0001", nil, http.StatusForbidden, "AccessDenied"},
		"other key":   {"/fleet/apps/0001", signed(t, "AKIAOTHER", "se/cr+et"), http.StatusForbidden, "InvalidAccessKeyId"},
		"wrong key":   {"/fleet/apps/0001", signed(t, "AKIATEST", "wrong"), http.StatusForbidden, "SignatureDoesNotMatch"},
		"no bucket":   {"/none?list-type=2", good, http.StatusNotFound, "NoSuchBucket"},
		"no object":   {"/fleet/none", good, http.StatusNotFound, "NoSuchKey"},
		"no sense":    {"/fleet/none", func(r *http.Request) { r.Header.Set("Authorization", "AWS4") }, http.StatusForbidden, "AuthorizationHeaderMalformed"},
		"no location": {"/fleet?location=", good, http.StatusOK, "LocationConstraint"},
	} {
		if status, body := get(t, base+c.path, c.sign); status != c.status || !bytes.Contains([]byte(body), []byte(c.code)) {
			t.Errorf("%s: %d %q, want %d %s", what, status, body, c.status, c.code)
		}
	}
	before := buckets.buckets["fleet"]["apps/0001 a.yaml"]
	objects["other/x"] = []byte("new")
	buckets.Replace("fleet", objects)
	if after := buckets.buckets["fleet"]["apps/0001 a.yaml"]; after.etag != before.etag || after.modified != before.modified {
		t.Error("an object that did not change has another ETag or time")
	}
}

// signed signs requests as the AWS SDK does.
func signed(t *testing.T, access, secret string) func(*http.Request) {
	t.Helper()
	return func(r *http.Request) {
		const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
		r.Header.Set("X-Amz-Content-Sha256", empty)
		must(t, v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).SignHTTP(context.Background(),
			aws.Credentials{AccessKeyID: access, SecretAccessKey: secret}, r, empty, "s3", "us-east-1", time.Now()))
	}
}

func get(t *testing.T, address string, prepare func(*http.Request)) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	must(t, err)
	if prepare != nil {
		prepare(request)
	}
	response, err := http.DefaultClient.Do(request)
	must(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	must(t, err)
	return response.StatusCode, string(text)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
