package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gitops/sluice/source-controller/internal/config"
)

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestDefaultsStart(t *testing.T) {
	c, err := config.Parse(nil, env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if c.Storage.AdvAddr != "source-controller.flux-system.svc.cluster.local." || c.Storage.Path != "/data" || c.Concurrent != 2 {
		t.Errorf("defaults: %+v", c)
	}
	if _, err := c.Manager(); err != nil {
		t.Error(err)
	}
}

func TestEnvironment(t *testing.T) {
	c, err := config.Parse([]string{"--storage-path=/flag"}, env(map[string]string{
		"RUNTIME_NAMESPACE": "gates", "STORAGE_PATH": "/env", "STORAGE_ADDRESS": ":1",
	}))
	if err != nil || c.Storage.Path != "/flag" || c.Storage.Addr != ":1" || c.Storage.AdvAddr != "source-controller.gates.svc.cluster.local." {
		t.Errorf("%+v, %v", c.Storage, err)
	}
}

func TestRefused(t *testing.T) {
	for arg, text := range map[string]string{
		"--concurrent=0":                                      "--concurrent",
		"--interval-jitter-percentage=100":                    "--interval-jitter-percentage",
		"--min-retry-delay=0":                                 "--min-retry-delay",
		"--max-retry-delay=1ms":                               "--max-retry-delay",
		"--requeue-dependency=0":                              "--requeue-dependency",
		"--storage-path=":                                     "--storage-path",
		"--artifact-retention-records=0":                      "--artifact-retention-records",
		"--artifact-max-size=0":                               "--artifact-max-size",
		"--feature-gates=Unheard=true":                        "Unheard",
		"--feature-gates=ObjectLevelWorkloadIdentity=perhaps": "true or false",
		"--default-service-account=tenant":                    "--feature-gates=ObjectLevelWorkloadIdentity=true",
		"--token-cache-max-size=-1":                           "--token-cache-max-size",
		"--token-cache-max-duration=-1s":                      "--token-cache-max-duration",
		"--ssh-kex-algos=rot13":                               "--ssh-kex-algos",
		"--ssh-hostkey-algos=ssh-rot13":                       "--ssh-hostkey-algos",
	} {
		if _, err := config.Parse([]string{arg}, env(nil)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %v", arg, err)
		}
	}
}

// TestIdentity: Flux's flags are taken as they are, and a token is kept for an hour at most, whatever is asked for.
func TestIdentity(t *testing.T) {
	c, err := config.Parse([]string{
		"--feature-gates=CacheSecretsAndConfigMaps=false,ObjectLevelWorkloadIdentity=true", "--default-service-account=tenant",
		"--token-cache-max-size=7", "--token-cache-max-duration=2h",
	}, env(nil))
	if i := c.Identity; err != nil || !i.ObjectLevel || i.DefaultServiceAccount != "tenant" || i.CacheSize != 7 || i.CacheTTL != time.Hour {
		t.Errorf("%+v, %v", i, err)
	}
	if c, err = config.Parse([]string{"--token-cache-max-duration=0"}, env(nil)); err != nil || c.Identity.ObjectLevel || c.Identity.CacheTTL != 0 {
		t.Errorf("%+v, %v", c.Identity, err)
	}
	if c, err = config.Parse(nil, env(nil)); err != nil || c.Identity.CacheSize != 100 || c.Identity.CacheTTL != time.Hour {
		t.Errorf("defaults: %+v, %v", c.Identity, err)
	}
}

func TestAlgorithmsOfSSH(t *testing.T) {
	c, err := config.Parse([]string{
		"--ssh-kex-algos=curve25519-sha256,diffie-hellman-group14-sha1", "--ssh-hostkey-algos=ssh-ed25519,rsa-sha2-512",
	}, env(nil))
	if err != nil || strings.Join(c.SSH.KeyExchanges, " ") != "curve25519-sha256 diffie-hellman-group14-sha1" ||
		strings.Join(c.SSH.HostKeys, " ") != "ssh-ed25519 rsa-sha2-512" {
		t.Errorf("%+v, %v", c.SSH, err)
	}
}
