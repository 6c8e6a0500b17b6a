package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/token"
)

func main() {
	runtime.LockOSThread() // some modules keep a session to a thread
	signal.Ignore(os.Interrupt, syscall.SIGHUP)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run gives the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "virt-pki-pkcs11: error: it takes no arguments; virt-pki starts it")
		return 2
	}
	s := &session{}
	defer s.close()
	in, out := bufio.NewReader(stdin), json.NewEncoder(stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return 0
		}
		var r token.Request
		var a token.Answer
		if err := json.Unmarshal(line, &r); err != nil {
			a.Error = &token.Error{Code: token.Internal, Message: "the request is no JSON"}
		} else {
			a = s.serve(r)
		}
		clear(line)
		if err := out.Encode(a); err != nil {
			return 3
		}
	}
}

// serve answers one request.
func (s *session) serve(r token.Request) token.Answer {
	var a token.Answer
	var err error
	switch {
	case r.Op == "open" && s.module == nil:
		a, err = s.open(r)
	case r.Op == "sign" && s.ready:
		a.Signature, err = s.sign(r)
	case r.Op == "destroy" && s.ready:
		err = s.destroy()
	default:
		err = fault(token.Internal, "", "%q makes no sense now", r.Op)
	}
	if err == nil {
		return a
	}
	var e *token.Error
	if !errors.As(err, &e) {
		e = &token.Error{Code: token.Refused, Message: err.Error()}
		var c *callError
		if errors.As(err, &c) {
			e.Code = c.code()
		}
	}
	return token.Answer{Error: e}
}

// fault makes an error for virt-pki.
func fault(code token.Code, hint, format string, a ...any) error {
	return &token.Error{Code: code, Message: fmt.Sprintf(format, a...), Hint: hint}
}
