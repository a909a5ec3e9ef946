package identity_test

import (
	"strings"
	"testing"
)

const codeCommit = "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/podinfo"

// TestGit: Azure DevOps takes a token for its own scope, and CodeCommit a signature of the address.
func TestGit(t *testing.T) {
	entra := (&azure{tenant: tenant, client: clientID}).start(t)
	sts := (&aws{role: role}).start(t)
	i := issuer(t, nil)

	devops, err := i.Git(t.Context(), "azure", account(t, azureAccount()), "https://dev.azure.com/acme/apps/_git/podinfo")
	if err != nil || !strings.HasPrefix(devops.Bearer, "CANARY-azure-") || devops.Username != "" || devops.Password != "" {
		t.Errorf("Azure DevOps: %v", err)
	}
	if scope := <-entra.scopes; !strings.HasPrefix(scope, "499b84ac-1321-427f-aa17-267ca6975798/.default") {
		t.Errorf("the scope is %q, want that of Azure DevOps", scope)
	}

	s := account(t, awsAccount())
	login, err := i.Git(t.Context(), "aws", s, codeCommit)
	if err != nil || !strings.HasPrefix(login.Username, "ASIACANARY%CANARY-session-") || login.Bearer != "" {
		t.Fatalf("CodeCommit: user %q, %v", login.Username, err)
	}
	// 20060102T150405Z and an HMAC-SHA256 in hexadecimal digits
	if p := login.Password; len(p) != 16+64 || p[15] != 'Z' || strings.Trim(p[16:], "0123456789abcdef") != "" {
		t.Errorf("CodeCommit: the password has %d characters, and another form than AWS documents", len(p))
	}
	again, err := i.Git(t.Context(), "aws", s, codeCommit)
	if err != nil || again.Password != login.Password {
		t.Errorf("CodeCommit: the second login is another one, %v", err)
	}
	other, err := i.Git(t.Context(), "aws", s, codeCommit+"2")
	if err != nil || other.Password == login.Password {
		t.Errorf("CodeCommit: another address has the signature of the first, %v", err)
	}
	if n := sts.sessions.Load(); n != 1 {
		t.Errorf("%d sessions, want 1 for both addresses", n)
	}
}

// TestS25GitTokensStayAtTheirCloud: the author of an object chooses the address, and must not choose who gets a token that is good
// for every repository which the identity may read.
func TestS25GitTokensStayAtTheirCloud(t *testing.T) {
	entra := (&azure{tenant: tenant, client: clientID}).start(t)
	i := issuer(t, nil)
	for _, address := range []string{
		"https://git.example.com/acme/apps/_git/podinfo", "http://dev.azure.com/acme/apps/_git/podinfo",
		"https://dev.azure.com.example.com/x", "https://evilvisualstudio.com/x", "https://example.com/dev.azure.com",
	} {
		if login, err := i.Git(t.Context(), "azure", account(t, azureAccount()), address); err == nil || login.Bearer != "" ||
			!strings.Contains(err.Error(), "not a repository of Azure, which is https://dev.azure.com/") {
			t.Errorf("%s: %v", address, err)
		}
	}
	if len(entra.scopes) > 0 {
		t.Error("a token was asked for")
	}
	if _, err := i.Git(t.Context(), "azure", account(t, azureAccount()), "https://acme.visualstudio.com/apps/_git/podinfo"); err != nil {
		t.Errorf("an older address of Azure DevOps: %v", err)
	}
}

// TestGitStaticKeys: keys in the environment, which do not end, have no session to name.
func TestGitStaticKeys(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIACANARY")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "CANARY-secret")
	s := account(t, nil)
	s.ServiceAccount = ""
	login, err := issuer(t, nil).Git(t.Context(), "aws", s, codeCommit)
	if err != nil || login.Username != "AKIACANARY" || login.Password == "" {
		t.Errorf("user %q, %v", login.Username, err)
	}
}
