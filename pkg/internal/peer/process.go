package peer

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Process is a program in the background. It is ended with the test.
type Process struct {
	cmd  *exec.Cmd
	log  string // file
	done chan struct{}
	stop sync.Once
}

// Start starts a program in the background; standard output and error go to its log.
func (p Place) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	log := filepath.Join(Dir(t), "log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() // the program has its own descriptor
	b := &Process{cmd: p.command(context.Background(), t, args), log: log, done: make(chan struct{})}
	b.cmd.Stdout, b.cmd.Stderr = f, f
	if err := b.cmd.Start(); err != nil {
		t.Fatalf("starting %q: %v", args, err)
	}
	go func() {
		b.cmd.Wait() // the status is read from ProcessState
		close(b.done)
	}()
	t.Cleanup(func() { b.Stop() })
	return b
}

// Pid is the process id.
func (b *Process) Pid() int { return b.cmd.Process.Pid }

// Log gives what the program has written so far.
func (b *Process) Log() string {
	text, err := os.ReadFile(b.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// WaitLog waits until text stands in the log, and reports whether it does.
func (b *Process) WaitLog(text string, limit time.Duration) bool {
	return within(limit, func() bool { return strings.Contains(b.Log(), text) })
}

// Running reports whether the program has not ended.
func (b *Process) Running() bool {
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// Wait waits for the program to end by itself and gives its exit status as in Result; ok is false when it did not
// within the limit.
func (b *Process) Wait(limit time.Duration) (exit int, ok bool) {
	select {
	case <-b.done:
		return exitStatus(b.cmd.ProcessState), true
	case <-time.After(limit):
		return -1, false
	}
}

// Signal sends a signal to the program, not to its children.
func (b *Process) Signal(s os.Signal) { b.cmd.Process.Signal(s) }

// Stop ends the program, politely first, and everything it left behind in its session, and gives its exit status as in
// Result. The test's end does the same.
func (b *Process) Stop() int {
	b.stop.Do(func() { // once: later on the process id may be another's
		if b.Running() {
			b.cmd.Process.Signal(syscall.SIGTERM)
			b.Wait(3 * time.Second)
		}
		syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
		<-b.done
	})
	return exitStatus(b.cmd.ProcessState)
}

// within asks every 10 ms until it holds, and reports whether it did within the limit.
func within(limit time.Duration, holds func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if holds() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}
