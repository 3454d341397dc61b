package crier

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestRelease: an archive has what it must, its checksum is told, and the same sources make the same archive.
func TestRelease(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("releases are built on Linux")
	}
	target := "linux/" + runtime.GOARCH
	var sums []string
	for range 2 {
		dist := t.TempDir()
		if out, err := exec.Command("make", "release", "DIST="+dist, "TARGETS="+target).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		sum, err := os.ReadFile(filepath.Join(dist, "SHA256SUMS"))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(sum))
		if len(sums) == 1 {
			checkArchive(t, dist, string(sum))
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("built twice, it differs:\n%s%s", sums[0], sums[1])
	}
}

func checkArchive(t *testing.T, dist, sums string) {
	t.Helper()
	archives, _ := filepath.Glob(filepath.Join(dist, "crier-*.tar.gz"))
	if len(archives) != 1 {
		t.Fatalf("archives %q", archives)
	}
	data, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	if line := fmt.Sprintf("%x  %s\n", sha256.Sum256(data), filepath.Base(archives[0])); !strings.Contains(sums, line) {
		t.Errorf("want %s in %s", line, sums)
	}
	files := unpack(t, archives[0])
	for _, name := range []string{"README.md", "LICENSE", "packaging/crier.service", "man/crier.1", "man/crier-gateway-init.1", "completions/crier.bash", "completions/_crier", "completions/crier.fish", "completions/crier.ps1", "docs/wire.md", "examples/chat/index.html", "console/client/README.md"} {
		if len(files[name]) == 0 {
			t.Errorf("no %s in the archive", name)
		}
	}
	if page := string(files["man/crier-serve.1"]); !strings.Contains(page, `.TH "CRIER-SERVE" "1"`) || !strings.Contains(page, "--max-message") {
		t.Errorf("the manual's page of crier serve begins %.200s", page)
	}
	for name := range files {
		if strings.Contains(name, "node_modules") {
			t.Fatalf("%s is in the archive", name)
		}
	}
	bash := exec.Command("bash", "-n")
	bash.Stdin = strings.NewReader(string(files["completions/crier.bash"]))
	if out, err := bash.CombinedOutput(); err != nil {
		t.Errorf("bash does not understand its completions: %v\n%s", err, out)
	}
	checkStatic(t, files["crier"])
}

func unpack(t *testing.T, archive string) map[string][]byte {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		if files[name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// checkStatic: the program needs nothing else, so that an empty container will do.
func checkStatic(t *testing.T, program []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "crier")
	if err := os.WriteFile(path, program, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the program is not static")
	}
	if out, err := exec.Command(path, "version").Output(); err != nil || !strings.HasPrefix(string(out), "crier ") || strings.Contains(string(out), "(devel)") {
		t.Errorf("got %s, %v", out, err)
	}
}

// TestDockerfile: the image is built as the release is, has a program only, and does not run as root.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("packaging/release")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o") || !strings.Contains(string(script), `go build -trimpath -ldflags "-s -w -X`) {
		t.Error("want both to build a small program without paths of the machine in it")
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	for _, want := range []string{"FROM golang:" + version + " AS build", "FROM scratch", "USER 65532:65532", `CMD ["/crier", "health"]`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in the Dockerfile", want)
		}
	}
}

// TestService: systemd understands the unit, where there is a systemd; and it gives crier the time that it takes to leave.
func TestService(t *testing.T) {
	text, err := os.ReadFile("packaging/crier.service")
	if err != nil {
		t.Fatal(err)
	}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = line
		case !regexp.MustCompile(`^[A-Z][A-Za-z]+=.+$`).MatchString(line) || section == "":
			t.Errorf("a unit has no line like %q", line)
		}
	}
	for _, want := range []string{"DynamicUser=yes", "TimeoutStopSec=30", "LimitNOFILE=1048576", "ExecStart=/usr/local/bin/crier serve --admin-key-file ${CREDENTIALS_DIRECTORY}/admin-key", "LoadCredential=admin-key:/etc/crier.key"} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

// TestVulnNeedsADatabase: where there is no database, make vuln does not say that nothing is known.
func TestVulnNeedsADatabase(t *testing.T) {
	for _, db := range []string{"file://" + t.TempDir(), "http://127.0.0.1:1"} {
		out, err := exec.Command("make", "vuln", "VULNDB="+db).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "there is no vulnerability database at "+db+": nothing was checked") || !strings.Contains(string(out), "Error 4") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}
