package rendering

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

var update = flag.Bool("update", false, "write golden files that are absent or differ")

const (
	plainGolden    = "testdata/plain.jsonl"
	sealedGolden   = "testdata/sealed.age"
	identityGolden = "testdata/identity.txt" // made for these tests, and used nowhere else
	goldenSubject  = types.UID("2f1c9a52-0d7c-4f39-8f5a-6a4f6c0d9e11")
)

func goldenContent() Content {
	return Content{
		Release: json.RawMessage(`{"chart":{"metadata":{"name":"app","version":"1.2.3"}},"name":"app","namespace":"web"}`),
		Objects: []Object{
			{Object: object("v1", "ConfigMap", "settings", map[string]any{
				"data": map[string]any{"html": "<a & b>", "text": "line\nline", "unicode": "grün"},
			})},
			{Tainted: true, Object: object("v1", "Secret", "password", map[string]any{
				"stringData": map[string]any{"password": "not-a-real-one"},
			})},
			{Phase: "pre-upgrade", Object: object("batch/v1", "Job", "migrate", map[string]any{
				"spec": map[string]any{"backoffLimit": int64(3), "ratio": 0.5, "big": int64(math.MaxInt64), "nothing": nil, "list": []any{true, "x"}},
			})},
		},
	}
}

func object(apiVersion, kind, name string, fields map[string]any) *unstructured.Unstructured {
	all := map[string]any{
		"apiVersion": apiVersion, "kind": kind,
		"metadata": map[string]any{"name": name, "namespace": "web"},
	}
	for key, value := range fields {
		all[key] = value
	}
	return &unstructured.Unstructured{Object: all}
}

func goldenIdentities(t testing.TB) ([]age.Identity, []age.Recipient) {
	t.Helper()
	text, err := os.ReadFile(identityGolden)
	if err != nil {
		t.Fatal(err)
	}
	identities, lines, err := ParseIdentities(string(text))
	if err != nil {
		t.Fatal(err)
	}
	recipients, _, err := ParseRecipients(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return identities, recipients
}

func goldenTag(t testing.TB) Tag {
	t.Helper()
	tag, err := ComputeTag([]byte("a key of the tests, 32 bytes long"), goldenContent())
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

func golden(t *testing.T, path string, got []byte) []byte {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func TestPlaintextIsGolden(t *testing.T) {
	var got bytes.Buffer
	if err := writeLines(&got, goldenSubject, goldenTag(t), goldenContent()); err != nil {
		t.Fatal(err)
	}
	want := golden(t, plainGolden, got.Bytes())
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the format has changed; readers of other versions are deployed (-want +got):\n%s", diff)
	}
	c, err := readLines(bytes.NewReader(want), goldenSubject, goldenTag(t), MaxPlaintext)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goldenContent(), c); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

// The sealed file was written by the first version of the format. It has to open for ever.
func TestSealedGoldenOpens(t *testing.T) {
	identities, recipients := goldenIdentities(t)
	if *update {
		var sealed bytes.Buffer
		if err := Seal(&sealed, recipients, goldenSubject, goldenTag(t), goldenContent()); err != nil {
			t.Fatal(err)
		}
		golden(t, sealedGolden, sealed.Bytes())
	}
	file, err := os.Open(sealedGolden)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, err := Open(file, identities, goldenSubject, goldenTag(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(goldenContent(), c); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
}

func seal(t testing.TB, recipients []age.Recipient, tag Tag, c Content) []byte {
	t.Helper()
	var sealed bytes.Buffer
	if err := Seal(&sealed, recipients, goldenSubject, tag, c); err != nil {
		t.Fatal(err)
	}
	return sealed.Bytes()
}

func TestOpenRefuses(t *testing.T) {
	identities, recipients := goldenIdentities(t)
	tag := goldenTag(t)
	sealed := seal(t, recipients, tag, goldenContent())
	stranger, _, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	strangers, _, err := ParseIdentities(stranger)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-20] ^= 1
	plain := func(lines ...string) []byte { return sealPlain(t, recipients, strings.Join(lines, "\n")+"\n") }
	header := func(objects int) string {
		return fmt.Sprintf(`{"format":1,"subject":%q,"tag":%q,"objects":%d}`, goldenSubject, tag, objects)
	}
	const anObject = `{"object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}}`
	tests := map[string]struct {
		reason     string
		data       []byte
		identities []age.Identity
		subject    types.UID
		tag        Tag
		want       error
	}{
		"other identity":    {reason: "sealed to somebody else", data: sealed, identities: strangers, want: ErrNoKey},
		"other subject":     {reason: "a file moved between subjects", data: sealed, subject: "other", want: ErrWrongSubject},
		"other tag":         {reason: "an older file of the subject", data: sealed, tag: "hmac-sha256:00", want: ErrWrongTag},
		"empty":             {reason: "nothing there", data: []byte{}, want: ErrFormat},
		"not age":           {reason: "an error page", data: []byte("<html>502</html>"), want: ErrFormat},
		"bit flip":          {reason: "age authenticates each chunk", data: flipped, want: ErrFormat},
		"trailing bytes":    {reason: "something was appended", data: append(bytes.Clone(sealed), 0), want: ErrFormat},
		"endless header":    {reason: "age's header is bounded", data: endlessHeader(), want: ErrLimit},
		"no header":         {reason: "no lines", data: sealPlain(t, recipients, ""), want: ErrFormat},
		"other format":      {reason: "a later version", data: plain(strings.Replace(header(0), `"format":1`, `"format":2`, 1)), want: ErrFormat},
		"unknown field":     {reason: "a later version that says so by a field", data: plain(strings.Replace(header(0), `{`, `{"x":1,`, 1)), want: ErrFormat},
		"negative count":    {reason: "no such number", data: plain(header(-1)), want: ErrFormat},
		"too many objects":  {reason: "over the limit by the header", data: plain(header(MaxObjects + 1)), want: ErrLimit},
		"fewer objects":     {reason: "cut between lines", data: plain(header(2), anObject), want: ErrFormat},
		"more objects":      {reason: "lines were added", data: plain(header(1), anObject, anObject), want: ErrFormat},
		"object of none":    {reason: "lines were added to none", data: plain(header(0), anObject), want: ErrFormat},
		"unfinished line":   {reason: "cut inside a line", data: sealPlain(t, recipients, header(1)+"\n"+anObject), want: ErrFormat},
		"no kind":           {reason: "not an object", data: plain(header(1), `{"object":{"apiVersion":"v1"}}`), want: ErrFormat},
		"null object":       {reason: "not an object", data: plain(header(1), `{"object":null}`), want: ErrFormat},
		"list for object":   {reason: "not an object", data: plain(header(1), `{"object":[]}`), want: ErrFormat},
		"empty line":        {reason: "not JSON", data: plain(header(1), ``), want: ErrFormat},
		"two in a line":     {reason: "one value per line", data: plain(header(1), anObject+anObject), want: ErrFormat},
		"second release":    {reason: "only the first line may be one", data: plain(header(1), `{"release":{}}`, `{"release":{}}`, anObject), want: ErrFormat},
		"late release":      {reason: "only the first line may be one", data: plain(header(2), anObject, `{"release":{}}`), want: ErrFormat},
		"tainted release":   {reason: "a release has no taint", data: plain(header(1), `{"release":{},"tainted":true}`, anObject), want: ErrFormat},
		"release, object":   {reason: "one of them per line", data: plain(header(1), `{"release":{},`+anObject[1:]), want: ErrFormat},
		"long header":       {reason: "the header is short", data: plain(`{"format":1,"tag":"` + strings.Repeat("x", 8<<10)), want: ErrLimit},
		"object over limit": {reason: "over the limit of one object", data: plain(header(2), anObject, `{"object":{"a":"`+strings.Repeat("x", MaxObject)+`"}}`), want: ErrLimit},
		"large window":      {reason: "zstd's memory is bounded", data: sealZstd(t, recipients, header(0)+"\n"), want: ErrFormat},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.identities == nil {
				test.identities = identities
			}
			if test.subject == "" {
				test.subject = goldenSubject
			}
			if test.tag == "" {
				test.tag = tag
			}
			c, err := Open(bytes.NewReader(test.data), test.identities, test.subject, test.tag)
			if !errors.Is(err, test.want) {
				t.Errorf("%s: got %v, want %v", test.reason, err, test.want)
			}
			if c.Objects != nil || c.Release != nil {
				t.Error("content is returned with the error")
			}
		})
	}
}

// sealPlain seals a plaintext that Seal would not write.
func sealPlain(t testing.TB, recipients []age.Recipient, plain string) []byte {
	t.Helper()
	return sealWith(t, recipients, plain, zstd.WithWindowSize(window))
}

// sealZstd packs with a window that Open must not follow.
func sealZstd(t testing.TB, recipients []age.Recipient, plain string) []byte {
	t.Helper()
	return sealWith(t, recipients, plain, zstd.WithWindowSize(64<<20), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(false))
}

func sealWith(t testing.TB, recipients []age.Recipient, plain string, options ...zstd.EOption) []byte {
	t.Helper()
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := zstd.NewWriter(sealed, options...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(packed, plain); err != nil {
		t.Fatal(err)
	}
	// Flushed before its end, the frame says how large a window it has, rather than how little is in it.
	if err := errors.Join(packed.Flush(), packed.Close(), sealed.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func endlessHeader() []byte {
	return []byte("age-encryption.org/v1\n-> X25519 " + strings.Repeat("a", 1<<20))
}

func TestOpenRefusesEveryTruncation(t *testing.T) {
	identities, recipients := goldenIdentities(t)
	tag := goldenTag(t)
	c := goldenContent()
	noise := make([]byte, 200<<10) // several of age's chunks
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	c.Objects = append(c.Objects, Object{Object: object("v1", "ConfigMap", "noise", map[string]any{"binaryData": map[string]any{"n": fmt.Sprintf("%x", noise)}})})
	sealed := seal(t, recipients, tag, c)
	const chunk = 64<<10 + 16
	cut := func(size int) {
		if _, err := Open(bytes.NewReader(sealed[:size]), identities, goldenSubject, tag); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut to %d of %d bytes: got %v", size, len(sealed), err)
		}
	}
	for size := 0; size < len(sealed); size += max(1, len(sealed)/97) {
		cut(size)
	}
	for start := bytes.Index(sealed, []byte("\n---")) - 40; start < len(sealed); start += chunk { // age's header, and its chunks
		for size := max(0, start-2); size < min(start+130, len(sealed)); size += 3 {
			cut(size)
		}
	}
}

// zstd takes a stream that ends between its frames for a whole one; the seal must not.
func TestOpenRefusesACutAfterTheLastFrame(t *testing.T) {
	identities, recipients := goldenIdentities(t)
	tag := goldenTag(t)
	var plain, packed, sealed bytes.Buffer
	if err := writeLines(&plain, goldenSubject, tag, goldenContent()); err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(&packed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encoder.Write(plain.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := encoder.Close(); err != nil {
		t.Fatal(err)
	}
	// fill age's first chunk with a skippable frame after the content, and let a second chunk follow
	const chunk = 64 << 10
	rest := chunk - packed.Len() - 8
	packed.Write([]byte{0x50, 0x2a, 0x4d, 0x18, byte(rest), byte(rest >> 8), byte(rest >> 16), 0})
	packed.Write(make([]byte, rest))
	packed.Write([]byte{0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 0})
	writer, err := age.Encrypt(&sealed, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Write(packed.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bytes.NewReader(sealed.Bytes()), identities, goldenSubject, tag); err != nil {
		t.Fatalf("the whole file: %v", err)
	}
	cut := sealed.Bytes()[:sealed.Len()-9-16]
	if _, err := Open(bytes.NewReader(cut), identities, goldenSubject, tag); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
}

func TestOpenReportsAFailingReader(t *testing.T) {
	identities, recipients := goldenIdentities(t)
	sealed := seal(t, recipients, goldenTag(t), goldenContent())
	broken := errors.New("connection reset")
	for _, size := range []int{0, 10, len(sealed) / 2, len(sealed) - 1} {
		r := io.MultiReader(bytes.NewReader(sealed[:size]), iotest.ErrReader(broken))
		if _, err := Open(r, identities, goldenSubject, goldenTag(t)); !errors.Is(err, broken) || errors.Is(err, ErrFormat) {
			t.Errorf("after %d bytes: got %v, want the reader's error: trying again may help", size, err)
		}
	}
}

// A smaller limit than Open has: what it takes to get there is the same.
func TestOpenBoundsWhatUnpacks(t *testing.T) {
	const limit = 8 << 20
	identities, recipients := goldenIdentities(t)
	tag := goldenTag(t)
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, recipients...)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := zstd.NewWriter(sealed, zstd.WithWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(packed, `{"format":1,"subject":%q,"tag":%q,"objects":%d}`+"\n", goldenSubject, tag, MaxObjects)
	bomb := []byte(`{"object":{"apiVersion":"v1","kind":"ConfigMap"}` + strings.Repeat(" ", 1<<20) + "}\n")
	for range limit/len(bomb) + 2 {
		if _, err := packed.Write(bomb); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(packed.Close(), sealed.Close()); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 1<<16 {
		t.Fatalf("the bomb has %d bytes", out.Len())
	}
	in := &gate{r: &out, left: maxEnvelope}
	if c, err := open(in, identities, goldenSubject, tag, limit); !errors.Is(err, ErrLimit) || c.Objects != nil {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

func TestSealRefuses(t *testing.T) {
	_, recipients := goldenIdentities(t)
	large := map[string]any{"data": map[string]any{"x": strings.Repeat("x", MaxObject)}}
	tests := map[string]struct {
		recipients []age.Recipient
		content    Content
		want       error
	}{
		"no recipients":       {recipients: []age.Recipient{}},
		"too many recipients": {recipients: make([]age.Recipient, MaxKeys+1)},
		"nil object":          {content: Content{Objects: []Object{{}}}},
		"no kind":             {content: Content{Objects: []Object{{Object: object("v1", "", "a", nil)}}}},
		"not JSON":            {content: Content{Objects: []Object{{Object: object("v1", "A", "a", map[string]any{"x": math.NaN()})}}}},
		"large object":        {content: Content{Objects: []Object{{Object: object("v1", "A", "a", large)}}}, want: ErrLimit},
		"many objects":        {content: Content{Objects: make([]Object, MaxObjects+1)}, want: ErrLimit},
		"broken release":      {content: Content{Release: json.RawMessage(`{`)}},
		"large release":       {content: Content{Release: json.RawMessage(`"` + strings.Repeat("x", MaxRelease) + `"`)}, want: ErrLimit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.recipients == nil {
				test.recipients = recipients
			}
			err := Seal(io.Discard, test.recipients, goldenSubject, "tag", test.content)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestSealReportsAFailingWriter(t *testing.T) {
	_, recipients := goldenIdentities(t)
	c := goldenContent()
	for limit := int64(0); limit < 600; limit += 50 {
		if err := Seal(&fullDisk{limit}, recipients, goldenSubject, "tag", c); !errors.Is(err, errDiskFull) {
			t.Errorf("after %d bytes: got %v", limit, err)
		}
	}
}

var errDiskFull = errors.New("disk full")

type fullDisk struct{ left int64 }

func (d *fullDisk) Write(p []byte) (int, error) {
	if d.left -= int64(len(p)); d.left < 0 {
		return 0, errDiskFull
	}
	return len(p), nil
}

func TestRoundTrips(t *testing.T) {
	identities, recipients := goldenIdentities(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 30 {
		c := randomContent(random)
		tag, err := ComputeTag([]byte("key"), c)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := Open(bytes.NewReader(seal(t, recipients, tag, c)), identities, goldenSubject, tag)
		if err != nil {
			t.Fatalf("content %d: %v", i, err)
		}
		if diff := cmp.Diff(c, opened); diff != "" {
			t.Fatalf("content %d (-sealed +opened):\n%s", i, diff)
		}
		if again, err := ComputeTag([]byte("key"), opened); err != nil || again != tag {
			t.Fatalf("content %d: tag %s, after the way %s, %v", i, tag, again, err)
		}
	}
}

func randomContent(random *rand.Rand) Content {
	var c Content
	if random.IntN(2) == 0 {
		c.Release = json.RawMessage(fmt.Sprintf(`{"name":"r%d"}`, random.Int()))
	}
	for range random.IntN(20) {
		fields, _ := randomValue(random, 4).(map[string]any)
		c.Objects = append(c.Objects, Object{
			Tainted: random.IntN(2) == 0,
			Phase:   []string{"", "pre-install", "test"}[random.IntN(3)],
			Object:  object("v1", "Kind", fmt.Sprint("n", random.Int()), map[string]any{"spec": fields}),
		})
	}
	return c
}

func randomValue(random *rand.Rand, depth int) any {
	if depth == 4 {
		m := map[string]any{}
		for range random.IntN(6) {
			m[fmt.Sprint("k", random.IntN(100))] = randomValue(random, depth-1)
		}
		return m
	}
	switch n := random.IntN(8); {
	case n == 0 && depth > 0:
		return []any{randomValue(random, depth-1), randomValue(random, depth-1)}
	case n == 1 && depth > 0:
		return map[string]any{"a": randomValue(random, depth-1), "B": randomValue(random, depth-1)}
	case n == 2:
		return random.Int64() - random.Int64()
	case n == 3:
		return random.Float64() + 0.1234567
	case n == 4:
		return random.IntN(2) == 0
	case n == 5:
		return nil
	}
	return strings.Repeat(string(rune(0x20+random.IntN(0x2000))), random.IntN(50)) + "<&>\u2028\"\\\n"
}

func TestSealHoldsNoPlaintext(t *testing.T) {
	_, recipients := goldenIdentities(t)
	sealed := seal(t, recipients, goldenTag(t), goldenContent())
	for _, word := range []string{"not-a-real-one", "password", "Secret", string(goldenSubject), string(goldenTag(t))} {
		if bytes.Contains(sealed, []byte(word)) {
			t.Errorf("the sealed file holds %q", word)
		}
	}
	sum, again := sha256.Sum256(sealed), sha256.Sum256(seal(t, recipients, goldenTag(t), goldenContent()))
	if sum == again {
		t.Error("two seals of one content are the same file")
	}
}

func FuzzOpen(f *testing.F) {
	identities, recipients := goldenIdentities(f)
	tag := goldenTag(f)
	f.Add(seal(f, recipients, tag, goldenContent()))
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Open(bytes.NewReader(data), identities, goldenSubject, tag)
		if err == nil {
			if err := writeLines(io.Discard, goldenSubject, tag, c); err != nil {
				t.Errorf("what was opened cannot be sealed: %v", err)
			}
		}
	})
}

func FuzzReadLines(f *testing.F) {
	tag := goldenTag(f)
	var plain bytes.Buffer
	if err := writeLines(&plain, goldenSubject, tag, goldenContent()); err != nil {
		f.Fatal(err)
	}
	f.Add(plain.Bytes())
	f.Add([]byte(fmt.Sprintf(`{"format":1,"subject":%q,"tag":%q,"objects":0}`+"\n"+`{"release":1}`+"\n", goldenSubject, tag)))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := readLines(bytes.NewReader(data), goldenSubject, tag, MaxPlaintext)
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := writeLines(&again, goldenSubject, tag, c); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		second, err := readLines(&again, goldenSubject, tag, MaxPlaintext)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if diff := cmp.Diff(c.Objects, second.Objects); diff != "" {
			t.Errorf("objects change on the way (-first +second):\n%s", diff)
		}
	})
}
