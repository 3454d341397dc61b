// Pebble runs the ACME server that Let's Encrypt has for tests, and a name
// server that knows every name to be at 127.0.0.1. It asks for proof at the
// port that it is given:
//
//	pebble PORT
//
// It prints one line of JSON, an Authority, and ends with its standard input.
// It is a program, in a module of its own, so that what Pebble is made of is
// no concern of crier's go.mod.
package main

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"strconv"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

// An Authority says how to reach Pebble.
type Authority struct {
	Directory string // the address of ACME's directory
	Server    string // the certificate that it is reached with, in PEM
	Root      string // the certificate that has signed what it signs, in PEM
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pebble:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: pebble PORT")
	}
	port, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	names, err := everyNameIsHere()
	if err != nil {
		return err
	}
	os.Setenv("PEBBLE_VA_NOSLEEP", "1")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	signer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	prover := va.New(quiet, 0, port, true, names, store)
	front := wfe.New(quiet, store, prover, signer, []string{"pebble.example"}, true, false, 1, 1)
	server := httptest.NewTLSServer(front.Handler())
	err = json.NewEncoder(os.Stdout).Encode(Authority{
		Directory: server.URL + wfe.DirectoryPath,
		Server:    inPEM(server.Certificate().Raw),
		Root:      inPEM(signer.GetRootCert(0).Cert.Raw),
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func inPEM(certificate []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}))
}

// everyNameIsHere returns the address of a name server that says so.
func everyNameIsHere() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if asked := q.Question[0]; asked.Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		w.WriteMsg(answer)
	})}
	go server.ActivateAndServe() // until the process ends
	return l.Addr().String(), nil
}
