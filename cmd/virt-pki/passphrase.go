package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// passphraseVariable is the environment variable that holds the passphrase of the CA's key.
const passphraseVariable = "VIRT_PKI_PASSPHRASE"

func passphraseFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "passphrase-file", Usage: "`FILE`: the passphrase of the CA's key, or its token's PIN, is the first line; without it $" + passphraseVariable + " is taken, or it is asked for on a terminal"},
		&cli.BoolFlag{Name: "no-passphrase", Usage: "do not ask: the CA's key is or stays unencrypted"},
	}
}

// A passphraseSource knows where the passphrase of the CA's key comes from.
type passphraseSource struct {
	program *program
	ctx     context.Context // ends a question
	file    string
	none    bool
}

func (p *program) passphrase(c *cli.Context) passphraseSource {
	return passphraseSource{p, c.Context, c.String("passphrase-file"), c.Bool("no-passphrase")}
}

// given reads the passphrase from file or environment; ok is false where neither has one.
func (s passphraseSource) given() (secret []byte, ok bool, err error) {
	if s.none {
		return nil, false, nil
	}
	if s.file != "" {
		text, err := s.program.read("the passphrase", s.file)
		if err != nil {
			return nil, false, err
		}
		line, _, _ := bytes.Cut(text, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			return nil, false, usage("--passphrase-file %s: the first line, the passphrase, is empty", shellQuote(s.file)).
				hint("without a passphrase: --no-passphrase")
		}
		return line, true, nil
	}
	if v := s.program.getenv(passphraseVariable); v != "" {
		return []byte(v), true, nil
	}
	return nil, false, nil
}

// forNew gives the passphrase for a key to be made; empty means that it stays unencrypted.
func (s passphraseSource) forNew() ([]byte, error) {
	secret, ok, err := s.given()
	if err != nil || ok || s.none || !s.interactive() {
		return secret, err
	}
	for range passphraseTries {
		first, err := s.ask("passphrase for the CA's new key (empty: unencrypted): ")
		if err != nil || len(first) == 0 {
			return nil, err
		}
		second, err := s.ask("once more: ")
		if err != nil {
			return nil, err
		}
		if bytes.Equal(first, second) {
			return first, nil
		}
		fmt.Fprintln(s.program.stderr, "they differ; again")
	}
	return nil, fmt.Errorf("no passphrase: the two differed %d times", passphraseTries)
}

// passphraseTries is how often a new passphrase is asked for when it is not repeated as it was.
const passphraseTries = 3

// errNoPassphrase says that a passphrase is needed and nobody can be asked.
type errNoPassphrase struct{ cause error }

func (e errNoPassphrase) Error() string { return e.cause.Error() }
func (e errNoPassphrase) Unwrap() error { return e.cause }
func (e errNoPassphrase) Hints() []string {
	return []string{"give it with --passphrase-file or in $" + passphraseVariable}
}

// forExisting gives the passphrase of an encrypted key. needed is what the key said without one.
func (s passphraseSource) forExisting(needed error) ([]byte, error) {
	secret, ok, err := s.given()
	if err != nil || ok {
		return secret, err
	}
	if s.none || !s.interactive() {
		return nil, errNoPassphrase{needed}
	}
	return s.ask("passphrase of the CA's key: ")
}

// explain adds to the error of a wrong passphrase where it came from.
func (s passphraseSource) explain(err error) error {
	if !errors.Is(err, certs.ErrPassphrase) {
		return err
	}
	switch {
	case s.file != "":
		return &hintedError{err, []string{"it was taken from the first line of " + shellQuote(s.file)}}
	case s.program.getenv(passphraseVariable) != "":
		return &hintedError{err, []string{"it was taken from $" + passphraseVariable}}
	}
	return &hintedError{err, []string{"mind the keyboard's layout and Caps Lock, and try again"}}
}

func (s passphraseSource) interactive() bool {
	return isTerminal(s.program.stdin) && isTerminal(s.program.stderr)
}

// ask reads a line from the terminal without echo. Ctrl-C ends it, with the echo as it was.
func (s passphraseSource) ask(prompt string) ([]byte, error) {
	if s.ctx.Err() != nil {
		return nil, fmt.Errorf("no passphrase: %w", context.Cause(s.ctx))
	}
	fd := int(s.program.stdin.(*os.File).Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, fmt.Errorf("asking for the passphrase: %w", err)
	}
	fmt.Fprint(s.program.stderr, prompt)
	defer fmt.Fprintln(s.program.stderr)
	type answer struct {
		secret []byte
		err    error
	}
	read := make(chan answer, 1)
	go func() {
		secret, err := term.ReadPassword(fd)
		read <- answer{secret, err}
	}()
	select {
	case a := <-read:
		if errors.Is(a.err, io.EOF) {
			return nil, errors.New("no passphrase: the input ended")
		}
		return a.secret, a.err
	case <-s.ctx.Done(): // the reader is left behind; the program ends
		_ = term.Restore(fd, before)
		return nil, fmt.Errorf("no passphrase: %w", context.Cause(s.ctx))
	}
}
