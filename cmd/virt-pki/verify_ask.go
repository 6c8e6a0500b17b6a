package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"
)

// asker gives the function with which verify asks for passwords, passphrases and host keys on the terminal; nil where
// there is none.
func (p *program) asker(ctx context.Context) func(prompt string, echo bool) (string, error) {
	in, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(p.stdin) || !isTerminal(p.stderr) {
		return nil
	}
	var mu sync.Mutex
	return func(prompt string, echo bool) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		before, err := term.GetState(int(in.Fd()))
		if err != nil {
			return "", fmt.Errorf("asking on the terminal: %w", err)
		}
		fmt.Fprintf(p.stderr, "%s: ", visible(strings.TrimRight(prompt, ": ")))
		type answer struct {
			text string
			err  error
		}
		read := make(chan answer, 1)
		go func() {
			if echo {
				line, err := bufio.NewReaderSize(in, 16).ReadString('\n')
				read <- answer{strings.TrimRight(line, "\r\n"), err}
				return
			}
			secret, err := term.ReadPassword(int(in.Fd()))
			read <- answer{string(secret), err}
		}()
		select {
		case a := <-read:
			if !echo {
				fmt.Fprintln(p.stderr)
			}
			if errors.Is(a.err, io.EOF) {
				a.err = errors.New("the input ended")
			}
			return a.text, a.err
		case <-ctx.Done(): // the reader is left behind; the program ends
			_ = term.Restore(int(in.Fd()), before)
			fmt.Fprintln(p.stderr)
			return "", context.Cause(ctx)
		}
	}
}
