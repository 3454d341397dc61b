package main

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"debug/elf"
	"encoding/binary"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"crier/deploy"
	"crier/internal/fakeaws"
	"crier/serve"
)

// account is an AWS account for the commands of a test.
func account(t *testing.T) *fakeaws.AWS {
	a := fakeaws.Start(t)
	a.Steps = 1000 // all has happened at the first look, so that nobody waits
	t.Setenv("HOME", t.TempDir())
	t.Setenv("NO_COLOR", "1")
	t.Setenv("AWS_ENDPOINT_URL", a.URL)
	t.Setenv("AWS_REGION", fakeaws.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKID")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	return a
}

// lambdaZip is a zip that passes for the function's code; another text makes another.
func lambdaZip(t *testing.T, text string) (path string) {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	entry, err := w.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	program := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_AARCH64), Version: 1, Ehsize: 64}
	copy(program.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	binary.Write(entry, binary.LittleEndian, program)
	entry.Write([]byte(text))
	w.Close()
	path = filepath.Join(t.TempDir(), "crier.zip")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// crier runs a command line, with nobody at the keyboard.
func crier(args ...string) (out, errOut string, code int) {
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

// wantText wants these parts, in this order.
func wantText(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Fatalf("%s is\n%s\nwant %q in it, in this order", what, text, parts)
		}
		rest = after
	}
}

func TestDeployTheWholeWay(t *testing.T) {
	a := account(t)
	zip := lambdaZip(t, "one")
	out, errOut, code := crier("deploy", "--name", "game", "--app", "bridge", "--lambda-zip", zip, "--dry-run")
	if code != 0 || errOut != "" || a.Stack("game").Name != "" {
		t.Errorf("a dry run: exit code %d, %s", code, errOut)
	}
	wantText(t, "a dry run", out, "create the stack game:\n", "  add      Table         Fake::Table\n", "Nothing was changed.\n")

	out, errOut, code = crier("deploy", "--name", "game", "--app", "bridge", "--lambda-zip", zip)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	wantText(t, "the progress", errOut, "account 123456789012, eu-central-1, as arn:aws:iam::123456789012:user/ann\n",
		"bucket crier-123456789012-eu-central-1 created\n", "code uploaded, 0.0 MB\n", "create the stack game:\n",
		"  game ", " creating\n", "  Table ", " created\n", "  game ", " created\n")
	wantText(t, "the result", out, "\ngame is there:\n\n  wss://abc123.execute-api.eu-central-1.amazonaws.com/live\n\n",
		"  crier connect 'wss://abc123.execute-api.eu-central-1.amazonaws.com/live?topicName=Something'\n",
		"  crier deploy --name game --region eu-central-1 --allow-origin https://game.example.com\n")

	out, errOut, code = crier("deploy", "--name", "game", "--lambda-zip", zip)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	wantText(t, "the progress", errOut, "code unchanged\n")
	wantText(t, "the result", out, "game was as it should be; nothing was changed", "wss://", "?topicName")

	out, errOut, code = crier("info", "--name", "game")
	wantText(t, "info", out+errOut, "stack      game in eu-central-1\n", "state      created, ", "app        bridge\n", "address    wss://", "logs       /aws/lambda/game\n")
	if code != 0 {
		t.Errorf("info: exit code %d", code)
	}

	a.Log(1, "long ago")
	out, errOut, code = crier("logs", "--name", "game", "--since", "1000000h")
	if out != "long ago\n" || errOut != "" || code != 0 {
		t.Errorf("logs: %q, %q, exit code %d", out, errOut, code)
	}

	out, errOut, code = crier("remove", "--name", "game", "--yes")
	wantText(t, "remove", errOut, " removing\n", " removed\n", "code removed from the bucket", "bucket crier-123456789012-eu-central-1 removed\n")
	if out != "game is removed.\n" || code != 0 || a.Objects("crier-123456789012-eu-central-1") != nil {
		t.Errorf("remove: %q, exit code %d, and the bucket has %q", out, code, a.Objects("crier-123456789012-eu-central-1"))
	}
}

func TestDeployFails(t *testing.T) {
	a := account(t)
	a.Broken, a.Why = "Function", "the runtime is \x1b[2Jnot known"
	out, errOut, code := crier("deploy", "--name", "game", "--lambda-zip", lambdaZip(t, "one"))
	if code != 1 || out != "" {
		t.Errorf("exit code %d, %q; want 1 and no result", code, out)
	}
	wantText(t, "what is said", errOut, "Function ", "could not be created: the runtime is", "undoing the creation", "creation undone",
		"\ncrier: deploy: Function (AWS::Fake::Function): the runtime is", "the stack game could not be created")
	if strings.Contains(errOut, "\x1b") {
		t.Errorf("a reason takes over the terminal: %q", errOut)
	}
}

// TestPrintTemplate: the template is for the stack that the flags describe, and has no secrets.
func TestPrintTemplate(t *testing.T) {
	out, errOut, code := crier("deploy", "--app", "rooms", "--throttle", "300", "--allow-origin", "https://game.example.com", "--print-template")
	if code != 0 {
		t.Fatal(errOut)
	}
	wantText(t, "the template", out, "App:", `Default: "rooms"`, "ThrottleRate:", `Default: "300"`, "AllowOrigins:", `Default: "https://game.example.com"`)
	_, errOut, code = crier("deploy", "--key", "psst", "--print-template")
	if code != 1 || !strings.Contains(errOut, "a template is no place for secrets") || strings.Contains(errOut, "psst") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestEveryAppCanBeDeployed: what a server serves a stack can serve, and the
// other way round, but live, which is refused with a sentence.
func TestEveryAppCanBeDeployed(t *testing.T) {
	var served []string
	for _, m := range serve.Apps() {
		if m.Name != "live" {
			served = append(served, m.Name)
		}
	}
	if !slices.Equal(served, deploy.Apps) {
		t.Errorf("a server serves %q, a stack %q", served, deploy.Apps)
	}
	_, errOut, code := crier("deploy", "--name", "game", "--app", "live")
	if code == 0 || !strings.Contains(errOut, "live is for crier serve, on a laptop or a server") {
		t.Errorf("exit code %d, %q", code, errOut)
	}
}

// TestDeployAccess: the flags become the stack's parameters, keys only as hashes, and stay until others are given.
func TestDeployAccess(t *testing.T) {
	a := account(t)
	a.NoEcho = []string{"KeyHashes", "TokenSecrets"}
	zip := lambdaZip(t, "one")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	deployed := func(flags ...string) map[string]string {
		t.Helper()
		if _, errOut, code := crier(append([]string{"deploy", "--name", "game", "--lambda-zip", zip}, flags...)...); code != 0 {
			t.Fatalf("%q: %s", flags, errOut)
		}
		return a.Stack("game").Parameters
	}
	first := deployed("--key-file", file("keys", "one key\n\nanother key\n"), "--allow-origin", "https://a.example.com,https://b.example.com")
	if hashes := strings.Split(first["KeyHashes"], ","); len(hashes) != 2 || len(hashes[0]) != 64 || first["AllowOrigins"] != "https://a.example.com,https://b.example.com" {
		t.Errorf("parameters %q", first)
	}
	if out, _, _ := crier("info", "--name", "game"); !strings.Contains(out, "pages      https://a.example.com,https://b.example.com\n") {
		t.Errorf("info: %s", out)
	}
	if again := deployed("--app", "rooms"); again["KeyHashes"] != first["KeyHashes"] || again["AllowOrigins"] != first["AllowOrigins"] {
		t.Errorf("parameters %q, want keys and origins kept", again)
	}
	if tokens := deployed("--token-secret", "a b", "--token-secret", "c,d", "--token-audience", "game"); tokens["TokenSecrets"] != "a b\nc,d" || tokens["TokenAudience"] != "game" || tokens["KeyHashes"]+tokens["AllowOrigins"] != "" {
		t.Errorf("parameters %q, want those that were given, and no others", tokens)
	}
	if limits := deployed("--throttle", "300", "--deliveries", "0", "--coalesce", "50ms", "--concurrency", "20"); limits["Coalesce"] != "50" || limits["DeliveryRate"] != "0" || limits["ThrottleRate"] != "300" || limits["ThrottleBurst"] != "600" || limits["Concurrency"] != "20" || limits["TokenAudience"] != "game" {
		t.Errorf("parameters %q", limits)
	}
	if public := deployed("--public"); public["TokenSecrets"]+public["TokenAudience"] != "" {
		t.Errorf("parameters %q, want none of these", public)
	}
	for _, test := range []struct {
		flags []string
		want  string
	}{
		{[]string{"--key", ""}, "--key: it is empty"},
		{[]string{"--throttle", "0"}, "at least one message a second"},
		{[]string{"--deliveries", "-1"}, "at least one message a second"},
		{[]string{"--coalesce", "2s"}, "at most 1s"},
		{[]string{"--concurrency", "-1"}, "at least one run"},
		{[]string{"--key", "a\x01"}, "--key: a key has characters that cannot be seen"},
		{[]string{"--key", "a", "--key-file", file("k", "b")}, "there can be one of the two"},
		{[]string{"--key", "a", "--public"}, "--public is for a stack without keys and tokens"},
		{[]string{"--key-file", file("empty", "\n")}, "has none"},
		{[]string{"--allow-origin", "game.example.com"}, "is no origin of pages"},
		{[]string{"--token-issuer", "me"}, "need --token-secret"},
		{[]string{"--token-jwks", "nowhere"}, "is no address of a JSON Web Key Set"},
		{[]string{"--token-key", file("private.pem", privateKey(t))}, "has a private key, and AWS needs the public half only: openssl pkey"},
	} {
		_, errOut, code := crier(append([]string{"deploy", "--name", "game", "--lambda-zip", zip}, test.flags...)...)
		if code != 1 || !strings.Contains(errOut, test.want) {
			t.Errorf("%q: exit code %d, %s; want %s", test.flags, code, errOut, test.want)
		}
	}
}

func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
