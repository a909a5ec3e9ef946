package stack

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Place is where a workload's pod is played: what its ports, mounts and environment are on this machine.
type Place struct {
	// Namespace of the workload.
	Namespace string
	// Ports maps the pod's container ports to local ones.
	Ports map[int32]int
	// Mounts maps the pod's mount paths to local folders.
	Mounts map[string]string
	// Services maps "<name>:<port>" of the namespace's Services to local ports.
	Services map[string]int
	// Secret reads one key of a Secret, for environment variables.
	Secret func(name, key string) (string, error)
}

// Command is what to start.
type Command struct {
	Args []string
	// Env holds the container's own variables only.
	Env []string
}

var (
	listenAll   = regexp.MustCompile(`^(--[a-z_-]+=)(0\.0\.0\.0)?:([0-9]+)$`)
	listenHost  = regexp.MustCompile(`^(--addr=)0\.0\.0\.0$`)
	listenPort  = regexp.MustCompile(`^(--port=)([0-9]+)$`)
	variable    = regexp.MustCompile(`\$\(([A-Z_][A-Z0-9_]*)\)`)
	serviceHost = regexp.MustCompile(`([a-z0-9-]+)\.([a-z0-9-]+)\.svc(?:\.cluster\.local\.?)?(?::([0-9]+))?`)
)

// Translate rewrites a container's command for this machine: variables are expanded as kubelet does, a port to listen on
// becomes a local one, the name of a Service becomes the local address of what is behind it, and a mount path becomes a
// local folder. Everything else stays to the letter.
func Translate(container corev1.Container, place Place) (Command, error) {
	values := map[string]string{}
	var command Command
	for _, env := range container.Env {
		value, err := place.value(env, container.Resources.Limits)
		if err != nil {
			return Command{}, fmt.Errorf("container %s: variable %s: %w", container.Name, env.Name, err)
		}
		values[env.Name] = value
		command.Env = append(command.Env, env.Name+"="+value)
	}
	for _, arg := range container.Args {
		rewritten, err := place.rewrite(expand(arg, values))
		if err != nil {
			return Command{}, fmt.Errorf("container %s: argument %q: %w", container.Name, arg, err)
		}
		command.Args = append(command.Args, rewritten)
	}
	return command, nil
}

func (p Place) value(env corev1.EnvVar, limits corev1.ResourceList) (string, error) {
	switch from := env.ValueFrom; {
	case from == nil:
		return env.Value, nil
	case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.namespace":
		return p.Namespace, nil
	case from.ResourceFieldRef != nil && from.ResourceFieldRef.Resource == "limits.memory":
		if limits.Memory().IsZero() {
			return "", nil // all that the machine has
		}
		return fmt.Sprint(limits.Memory().Value()), nil
	case from.SecretKeyRef != nil:
		return p.Secret(from.SecretKeyRef.Name, from.SecretKeyRef.Key)
	default:
		return "", fmt.Errorf("a source of values that is not played here: %v", from)
	}
}

func expand(arg string, values map[string]string) string {
	return variable.ReplaceAllStringFunc(arg, func(reference string) string {
		if value, ok := values[reference[2:len(reference)-1]]; ok {
			return value
		}
		return reference
	})
}

func (p Place) rewrite(arg string) (string, error) {
	if m := listenAll.FindStringSubmatch(arg); m != nil {
		port, err := p.port(m[3])
		return fmt.Sprintf("%s127.0.0.1:%d", m[1], port), err
	}
	if m := listenPort.FindStringSubmatch(arg); m != nil {
		port, err := p.port(m[2])
		return fmt.Sprintf("%s%d", m[1], port), err
	}
	if listenHost.MatchString(arg) {
		return listenHost.ReplaceAllString(arg, "${1}127.0.0.1"), nil
	}
	if serviceHost.MatchString(arg) {
		return p.service(arg)
	}
	return p.path(arg), nil
}

func (p Place) port(text string) (int, error) {
	for container, local := range p.Ports {
		if fmt.Sprint(container) == text {
			return local, nil
		}
	}
	return 0, fmt.Errorf("port %s is not among the container's ports", text)
}

// service replaces the first Service address in arg. A Service without a port in the address is asked at port 80.
func (p Place) service(arg string) (string, error) {
	m := serviceHost.FindStringSubmatchIndex(arg)
	name, port := arg[m[2]:m[3]], "80"
	if m[6] >= 0 {
		port = arg[m[6]:m[7]]
	}
	local, ok := p.Services[name+":"+port]
	if !ok {
		return "", fmt.Errorf("no Service %s has port %s", name, port)
	}
	return arg[:m[0]] + fmt.Sprintf("127.0.0.1:%d", local) + arg[m[1]:], nil
}

func (p Place) path(arg string) string {
	flag, value, ok := strings.Cut(arg, "=")
	if !ok {
		return arg
	}
	for mount, folder := range p.Mounts {
		if rest, ok := strings.CutPrefix(value, mount); ok && (rest == "" || rest[0] == '/') {
			return flag + "=" + filepath.Join(folder, rest)
		}
	}
	return arg
}
