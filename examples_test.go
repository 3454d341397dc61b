package crier

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// The files in examples/cluster, as far as the tests look at them.
type (
	compose struct {
		Base     service            `yaml:"x-crier"`
		Services map[string]service `yaml:"services"`
		Secrets  map[string]any     `yaml:"secrets"`
		Volumes  map[string]any     `yaml:"volumes"`
	}
	service struct {
		Environment map[string]string `yaml:"environment"`
		Secrets     []string          `yaml:"secrets"`
		Volumes     []string          `yaml:"volumes"`
		Grace       time.Duration     `yaml:"stop_grace_period"`
	}
	manifest struct {
		Kind     string
		Metadata struct{ Name string }
		Spec     struct {
			ClusterIP                string `yaml:"clusterIP"`
			PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
			ServiceName              string `yaml:"serviceName"`
			PodManagementPolicy      string `yaml:"podManagementPolicy"`
			MaxUnavailable           int    `yaml:"maxUnavailable"`
			Replicas                 int
			Ports                    []port
			Template                 struct {
				Spec struct {
					Grace      int `yaml:"terminationGracePeriodSeconds"`
					Containers []container
				}
			}
		}
	}
	container struct {
		Ports     []port
		Env       []struct{ Name, Value string }
		Readiness probe `yaml:"readinessProbe"`
		Liveness  probe `yaml:"livenessProbe"`
		Lifecycle struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
	}
	port struct {
		Name          string
		ContainerPort int    `yaml:"containerPort"`
		TargetPort    string `yaml:"targetPort"`
	}
	probe struct {
		Get struct{ Path, Port string } `yaml:"httpGet"`
	}
)

// leaving is how long a server may take to end, after --drain.
const leaving = 13 * time.Second

const clusterDir = "examples/cluster/"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkServers checks what several servers are told, and which peers they have.
func checkServers(t *testing.T, env map[string]string, hosts []string, grace time.Duration) {
	t.Helper()
	_, listen, err := net.SplitHostPort(env["CRIER_CLUSTER_LISTEN"])
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, host := range hosts {
		want = append(want, net.JoinHostPort(host, listen))
	}
	if got := env["CRIER_CLUSTER_PEERS"]; got != strings.Join(want, ",") {
		t.Errorf("peers %s, want %s", got, want)
	}
	drain := 5 * time.Second // the default
	if set := env["CRIER_DRAIN"]; set != "" {
		if drain, err = time.ParseDuration(set); err != nil {
			t.Fatal(err)
		}
	}
	if grace <= drain+leaving {
		t.Errorf("a server that drains for %v is killed after %v", drain, grace)
	}
}

func TestCompose(t *testing.T) {
	var c compose
	if err := yaml.Unmarshal([]byte(read(t, clusterDir+"compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	var hosts []string
	for name, s := range c.Services {
		if name == "balancer" {
			continue
		}
		hosts = append(hosts, name)
		if _, ok := c.Volumes[name]; !ok || !slices.Equal(s.Volumes, []string{name + ":/data"}) {
			t.Errorf("%s keeps its data in %q", name, s.Volumes)
		}
		if fmt.Sprint(s.Environment) != fmt.Sprint(c.Base.Environment) {
			t.Errorf("%s is told %q", name, s.Environment)
		}
	}
	slices.Sort(hosts)
	env := c.Base.Environment
	checkServers(t, env, hosts, c.Base.Grace)
	if dir := env["CRIER_DATA"]; !strings.HasPrefix(dir, "/data/") {
		t.Errorf("the data is in %s, which is no volume", dir)
	}
	for flag, secret := range map[string]string{"ADMIN_KEY_FILE": "admin-key", "CLUSTER_KEY_FILE": "cluster-key"} {
		if _, ok := c.Secrets[secret]; !ok || !slices.Contains(c.Base.Secrets, secret) || env["CRIER_"+flag] != "/run/secrets/"+secret {
			t.Errorf("%s is %q", flag, env["CRIER_"+flag])
		}
	}
	checkBalancer(t, hosts, env["CRIER_LISTEN"])
}

// checkBalancer: it knows all servers, and asks them whether they are ready.
func checkBalancer(t *testing.T, hosts []string, listen string) {
	t.Helper()
	text := read(t, clusterDir+"haproxy.cfg")
	var servers []string
	for _, m := range regexp.MustCompile(`(?m)^ +server (\S+) (\S+)$`).FindAllStringSubmatch(text, -1) {
		if !strings.HasPrefix(m[2], m[1]+":") {
			t.Errorf("%s leads to %s", m[1], m[2])
		}
		servers = append(servers, m[2])
	}
	var want []string
	for _, host := range hosts {
		want = append(want, host+listen)
	}
	if !slices.Equal(servers, want) || !strings.Contains(text, "\n    option httpchk GET /readyz\n") {
		t.Errorf("the balancer has %q, want %q", servers, want)
	}
	if haproxy, err := exec.LookPath("haproxy"); err == nil {
		if out, err := exec.Command(haproxy, "-c", "-f", clusterDir+"haproxy.cfg").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestKubernetes(t *testing.T) {
	objects := make(map[string]manifest)
	for d := yaml.NewDecoder(bytes.NewReader([]byte(read(t, clusterDir+"kubernetes.yaml")))); ; {
		var m manifest
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects[m.Kind+" "+m.Metadata.Name] = m
	}
	set, budget := objects["StatefulSet crier"].Spec, objects["PodDisruptionBudget crier"].Spec
	among, door := objects["Service crier-cluster"].Spec, objects["Service crier"].Spec
	if set.Replicas != 3 || set.PodManagementPolicy != "Parallel" || budget.MaxUnavailable != 1 {
		t.Errorf("%+v", set)
	}
	if set.ServiceName != "crier-cluster" || among.ClusterIP != "None" || !among.PublishNotReadyAddresses {
		t.Errorf("%+v", among)
	}
	if len(set.Template.Spec.Containers) != 1 {
		t.Fatal("want a container")
	}
	c := set.Template.Spec.Containers[0]
	env := make(map[string]string)
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	var hosts []string
	for n := range set.Replicas {
		hosts = append(hosts, fmt.Sprintf("crier-%d.crier-cluster", n))
	}
	grace := time.Duration(set.Template.Spec.Grace-c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	checkServers(t, env, hosts, grace)
	want := []port{{Name: "http", ContainerPort: 8080}, {Name: "cluster", ContainerPort: 6222}}
	if !slices.Equal(c.Ports, want) || env["CRIER_LISTEN"] != ":8080" || env["CRIER_CLUSTER_LISTEN"] != ":6222" {
		t.Errorf("%+v, %q", c.Ports, env)
	}
	if door.Ports[0].TargetPort != "http" || among.Ports[0].TargetPort != "cluster" {
		t.Errorf("%+v, %+v", door.Ports, among.Ports)
	}
	if c.Readiness.Get.Path != "/readyz" || c.Liveness.Get.Path != "/healthz" || c.Readiness.Get.Port != "http" || c.Liveness.Get.Port != "http" {
		t.Errorf("%+v, %+v", c.Readiness, c.Liveness)
	}
}

func TestClusterUnit(t *testing.T) {
	env := make(map[string]string)
	for line := range strings.Lines(read(t, clusterDir+"crier.env")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			env[name] = value
		}
	}
	unit := read(t, clusterDir+"crier.service")
	seconds := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindStringSubmatch(unit)
	if seconds == nil {
		t.Fatal("no TimeoutStopSec")
	}
	grace, _ := time.ParseDuration(seconds[1] + "s")
	checkServers(t, env, []string{"a.example.com", "b.example.com", "c.example.com"}, grace)
	for _, want := range []string{
		"EnvironmentFile=/etc/crier.env", "StateDirectory=crier", "LimitNOFILE=1048576", "DynamicUser=yes",
		"LoadCredential=admin-key:/etc/crier-admin.key", "LoadCredential=cluster-key:/etc/crier-cluster.key",
	} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

// TestFlagsOfExamples: each flag and each variable in the examples for several
// servers, and in the documents about them and about keys, is one of crier serve.
func TestFlagsOfExamples(t *testing.T) {
	help, err := exec.Command("go", "run", "./cmd/crier", "serve", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?--([a-z-]+)`).FindAllStringSubmatch(string(help), -1) {
		flags = append(flags, m[1])
	}
	for _, name := range []string{"compose.yaml", "kubernetes.yaml", "crier.service", "crier.env", "haproxy.cfg"} {
		text := read(t, clusterDir+name)
		for _, m := range regexp.MustCompile(`\bCRIER_([A-Z_]+)`).FindAllStringSubmatch(text, -1) {
			if flag := strings.ToLower(strings.ReplaceAll(m[1], "_", "-")); !slices.Contains(flags, flag) {
				t.Errorf("%s: %s sets nothing", name, m[0])
			}
		}
		for _, line := range regexp.MustCompile(`(?m)crier serve.*$|^ExecStart=.*$|\(--[a-z-]+`).FindAllString(text, -1) {
			checkFlags(t, name, line, flags)
		}
	}
	for _, name := range []string{"docs/cluster.md", "docs/access.md"} {
		for _, line := range regexp.MustCompile(`(?m)crier serve( +\S+|\\\n)+|`+"`--[a-z-]+").FindAllString(read(t, name), -1) {
			checkFlags(t, name, line, flags)
		}
	}
}

func checkFlags(t *testing.T, name, line string, flags []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`--([a-z][a-z-]+)`).FindAllStringSubmatch(line, -1) {
		if !slices.Contains(flags, m[1]) {
			t.Errorf("%s: crier serve has no --%s", name, m[1])
		}
	}
}
