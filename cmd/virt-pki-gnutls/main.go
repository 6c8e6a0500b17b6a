package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run gives the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		return usage(stderr, "a command is missing")
	}
	command, args := args[0], args[1:]
	s := side{server: command == "server", in: 0, out: 1, flush: func() {}}
	answer := stdout
	switch command {
	case "version", "session":
		if len(args) > 0 {
			return usage(stderr, fmt.Sprintf("%s takes no argument: %q", command, args[0]))
		}
	case "list":
		if len(args) == 0 {
			return usage(stderr, "list wants a priority string")
		}
	case "client", "server":
		flags := flag.NewFlagSet(command, flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		fd := flags.Int("fd", -1, "")
		flags.StringVar(&s.priority, "priority", "NORMAL", "")
		flags.StringVar(&s.ca, "ca", "", "")
		flags.StringVar(&s.crl, "crl", "", "")
		flags.StringVar(&s.cert, "cert", "", "")
		flags.StringVar(&s.key, "key", "", "")
		flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "")
		if err := flags.Parse(args); err != nil {
			return usage(stderr, err.Error())
		}
		switch {
		case flags.NArg() > 0:
			return usage(stderr, fmt.Sprintf("%s takes no argument: %q", command, flags.Arg(0)))
		case (s.cert == "") != (s.key == ""):
			return usage(stderr, "--cert and --key go together")
		case s.timeout < time.Millisecond || s.timeout > time.Hour:
			return usage(stderr, "--timeout is from 1ms to 1h")
		}
		if *fd >= 0 {
			s.in, s.out = *fd, *fd
		} else {
			answer = stderr
			if err := s.sockets(); err != nil {
				fmt.Fprintf(stderr, "virt-pki-gnutls: error: %v\n", err)
				return 3
			}
		}
	default:
		return usage(stderr, fmt.Sprintf("no command %q", command))
	}

	l, err := open()
	if err != nil {
		fmt.Fprintf(stderr, "virt-pki-gnutls: error: %v\nvirt-pki-gnutls: hint: install libgnutls30\n", err)
		return gnutls.ExitNoLibrary
	}
	if command == "session" {
		status, err := l.session(stdin, stdout)
		if err != nil {
			fmt.Fprintf(stderr, "virt-pki-gnutls: error: %v\n", err)
		}
		return status
	}
	encoder := json.NewEncoder(answer)
	encoder.SetEscapeHTML(false)
	switch command {
	case "version":
		encoder.Encode(gnutls.Greeting{Schema: 1, GnuTLS: l.checkVersion(0)})
	case "list":
		items := make([]item, len(args))
		for i, a := range args {
			items[i] = l.list(a)
		}
		encoder.Encode(map[string]any{"schema": 1, "gnutls": l.checkVersion(0), "items": items})
	default:
		o := l.run(s)
		s.flush()
		encoder.Encode(o)
		if !o.OK {
			return 1
		}
	}
	return 0
}

func usage(stderr io.Writer, trouble string) int {
	fmt.Fprintf(stderr, "virt-pki-gnutls: error: %s\n", trouble)
	fmt.Fprintln(stderr, "virt-pki-gnutls: hint: version | list STRING... | client|server [--fd N] [--priority S] [--ca F] [--crl F] "+
		"[--cert F --key F] [--timeout D]")
	return 2
}
