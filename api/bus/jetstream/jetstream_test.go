package jetstream_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/sluice-gitops/sluice/api/bus"
	"github.com/sluice-gitops/sluice/api/bus/bustest"
	"github.com/sluice-gitops/sluice/api/bus/jetstream"
)

func TestContract(t *testing.T) {
	s := bustest.StartServer(t)
	bustest.Run(t, func(t *testing.T) bus.Bus { return connect(t, jetstream.Options{URL: s.URL(), Name: "test"}) })
}

func TestContractFaults(t *testing.T) {
	bustest.RunFaults(t, func(t *testing.T, url string) bus.Bus { return connect(t, jetstream.Options{URL: url, Name: "test"}) })
}

func connect(t *testing.T, o jetstream.Options) bus.Bus {
	t.Helper()
	b, err := jetstream.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

var stream = bus.Stream{Name: "STREAM", Subjects: []string{"a.>"}, MaxAge: time.Hour, MaxBytes: 1 << 20}

// withUsers makes a server of two users: admin may do anything, publisher may publish and read its own replies.
func withUsers(o *server.Options) {
	o.Users = []*server.User{
		{Username: "admin", Password: "admin-password"},
		{Username: "publisher", Password: "publisher-password", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{"a.>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_publisher.>"}},
		}},
	}
}

func credentials(t *testing.T, username, password string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "username"), username)
	write(t, filepath.Join(dir, "password"), password+"\n")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPublishWithoutManagementRights(t *testing.T) {
	s := bustest.StartServer(t, withUsers)
	admin := connect(t, jetstream.Options{URL: s.URL(), Name: "admin", Credentials: credentials(t, "admin", "admin-password")})
	m := bus.Message{Subject: "a.b", ID: "one"}
	if err := admin.Publish(t.Context(), stream, m); err != nil {
		t.Fatal(err)
	}
	publisher := connect(t, jetstream.Options{
		URL: s.URL(), Name: "publisher", Credentials: credentials(t, "publisher", "publisher-password"),
	})
	m.ID = "two"
	if err := publisher.Publish(t.Context(), stream, m); err != nil {
		t.Errorf("a client that may only publish cannot: %v", err)
	}
}

func TestCredentialsAreReadAgain(t *testing.T) {
	s := bustest.StartServer(t, withUsers)
	dir := credentials(t, "admin", "not the password")
	b := connect(t, jetstream.Options{URL: s.URL(), Name: "admin", Credentials: dir})
	if b.Connected() {
		t.Fatal("connected with a wrong password")
	}
	write(t, filepath.Join(dir, "password"), "admin-password")
	eventually(t, "the mended password is used", b.Connected)
	if err := b.Publish(t.Context(), stream, bus.Message{Subject: "a.b", ID: "one"}); err != nil {
		t.Error(err)
	}
}

func TestConnectRefusesOptions(t *testing.T) {
	tests := map[string]jetstream.Options{
		"no URL":              {Name: "test"},
		"no name":             {URL: "nats://127.0.0.1:4222"},
		"a name with a dot":   {URL: "nats://127.0.0.1:4222", Name: "a.b"},
		"no URL at all":       {URL: "nats://user:secret-word@127.0.0.1:port", Name: "test"},
		"missing credentials": {URL: "nats://127.0.0.1:4222", Name: "test", Credentials: filepath.Join(t.TempDir(), "absent")},
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := jetstream.Connect(t.Context(), o)
			if err == nil {
				b.Close()
				t.Fatal("accepted")
			}
			if got := err.Error(); strings.Contains(got, "secret-word") {
				t.Errorf("the error shows a password: %s", got)
			}
		})
	}
}
