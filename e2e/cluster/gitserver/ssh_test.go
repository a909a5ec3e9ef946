package gitserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestSSH(t *testing.T) {
	server, err := Start(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	repo, err := server.Repo(t.Context(), "team/app")
	if err != nil {
		t.Fatal(err)
	}
	content := "a: 1\n"
	commit, err := repo.Commit(t.Context(), "first", map[string]*string{"a.yaml": &content}, CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	door, err := server.StartSSH()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Close() })
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, []byte(door.KnownHosts()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	known, err := knownhosts.New(hosts)
	if err != nil {
		t.Fatal(err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ClientConfig{User: "git", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, HostKeyCallback: known}
	address, path, _ := strings.Cut(strings.TrimPrefix(door.URL("team/app"), "ssh://git@"), "/")
	if client, err := ssh.Dial("tcp", address, config); err == nil {
		_ = client.Close()
		t.Fatal("a key that nobody allowed is let in")
	}
	door.Allow(key.PublicKey())
	client, err := ssh.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	for line, want := range map[string]string{
		"git-upload-pack '/" + path + "'":       commit + " HEAD",
		"git-receive-pack '/" + path + "'":      "",
		"git-upload-pack '/../../etc'":          "",
		"git-upload-pack '/x'; touch /tmp/here": "",
	} {
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		session.Stdin = strings.NewReader("0000") // nothing is wanted
		output, err := session.Output(line)
		if (err == nil) != (want != "") || !strings.Contains(string(output), want) {
			t.Errorf("%s: %q, %v", line, output, err)
		}
		_ = session.Close()
	}
}
