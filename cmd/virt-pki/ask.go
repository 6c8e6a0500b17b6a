package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"
)

// agree asks a question, unless --yes is given; nobody is the error where there is no terminal.
func (p *program) agree(c *cli.Context, question string, nobody *usageError) error {
	switch {
	case c.Bool("yes"):
		return nil
	case !isTerminal(p.stdin) || !isTerminal(p.stderr):
		return nobody
	}
	return p.confirm(c, question)
}

// confirm asks a question on the terminal; everything but yes is an error.
func (p *program) confirm(c *cli.Context, question string) error {
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	answer, err := p.line(c.Context)
	if err != nil {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// line reads one line from standard input, unless ctx ends before.
func (p *program) line(ctx context.Context) (string, error) {
	type answer struct {
		text string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		var text []byte
		for one := make([]byte, 1); ; { // not a byte more than the line: what follows is somebody else's
			n, err := p.stdin.Read(one)
			if n == 1 && one[0] == '\n' {
				read <- answer{string(text), nil}
				return
			}
			text = append(text, one[:n]...)
			if err != nil {
				read <- answer{string(text), err}
				return
			}
		}
	}()
	select {
	case a := <-read:
		if errors.Is(a.err, io.EOF) {
			a.err = nil
		}
		return a.text, a.err
	case <-ctx.Done(): // the reader is left behind; the program ends
		return "", context.Cause(ctx)
	}
}
