package sops

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/cmd/sops/formats"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/ini"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"
	corev1 "k8s.io/api/core/v1"
)

var (
	jsonMark = regexp.MustCompile(`"mac"\s*:\s*"ENC\[`)
	yamlMark = regexp.MustCompile(`(?m)^\s+mac:\s*["']?ENC\[`)
	iniMark  = regexp.MustCompile(`(?m)^mac\s*=\s*ENC\[`)
)

// formatOf is the format that the name of a file or of a key implies, by Flux's rules: a Docker configuration is JSON.
func formatOf(name string) formats.Format {
	if strings.HasSuffix(name, corev1.DockerConfigJsonKey) {
		return formats.Json
	}
	return formats.FormatForPath(name)
}

// foundIn is the format in which SOPS has encrypted content whose name implies another; false when it has not.
func foundIn(content []byte) (format formats.Format, encrypted bool) {
	switch {
	case isEncrypted(content, formats.Binary):
		return formats.Binary, true
	case yamlMark.Match(content):
		return formats.Yaml, true
	case isEncrypted(content, formats.Dotenv):
		return formats.Dotenv, true
	default:
		return formats.Ini, isEncrypted(content, formats.Ini) && iniMark.Match(content)
	}
}

// isEncrypted says whether content in a format is SOPS'. It looks for the MAC, which every such file has.
func isEncrypted(content []byte, format formats.Format) bool {
	switch format {
	case formats.Yaml:
		return yamlMark.Match(content) || jsonMark.Match(content)
	case formats.Dotenv:
		return bytes.Contains(content, []byte("sops_mac=ENC["))
	case formats.Ini:
		return bytes.Contains(content, []byte("[sops]"))
	default:
		return jsonMark.Match(content)
	}
}

// hasBlock says whether content looks as if SOPS had written it, with or without a MAC.
func hasBlock(content []byte) bool {
	return bytes.Contains(content, []byte("sops:")) || bytes.Contains(content, []byte(`"sops"`))
}

func storeFor(format formats.Format) sops.Store {
	switch format {
	case formats.Yaml:
		return yaml.NewStore(&config.YAMLStoreConfig{})
	case formats.Json:
		return json.NewStore(&config.JSONStoreConfig{})
	case formats.Dotenv:
		return dotenv.NewStore(&config.DotenvStoreConfig{})
	case formats.Ini:
		return ini.NewStore(&config.INIStoreConfig{})
	default:
		return json.NewBinaryStore(&config.JSONBinaryStoreConfig{})
	}
}
