package lambda

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
)

// runtimeAPIFrom is the first version of Go's library that knows the Runtime
// API. Earlier ones are for the runtime go1.x, and wait for its RPC for ever.
// https://github.com/aws/aws-lambda-go/releases/tag/v1.18.0
const (
	goLibrary      = "github.com/aws/aws-lambda-go"
	runtimeAPIFrom = "v1.18.0"
)

// checkExecutable returns why an executable cannot be a function, if that can
// be seen without starting it.
func checkExecutable(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil || !mentions(path, "_LAMBDA_SERVER_PORT") || mentions(path, "AWS_LAMBDA_RUNTIME_API") {
		return nil // it is not made with Go, or not for go1.x alone
	}
	version := "before " + runtimeAPIFrom
	for _, m := range info.Deps {
		if m.Path == goLibrary && m.Replace == nil {
			version = m.Version
		}
	}
	return fmt.Errorf("%s is built with %s %s, which is for the runtime go1.x and does not know the Runtime API: "+
		"it needs %s or later (go get %[2]s@latest, and build it again)", path, goLibrary, version, runtimeAPIFrom)
}

// mentions reports whether a text is in a file.
func mentions(path, text string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	kept := 0 // bytes of the last part, in which the text may have begun
	for {
		n, err := io.ReadFull(f, buf[kept:])
		part := buf[:kept+n]
		if bytes.Contains(part, []byte(text)) {
			return true
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || n == 0 {
			return false
		}
		kept = copy(buf, part[max(0, len(part)-len(text)+1):])
	}
}
