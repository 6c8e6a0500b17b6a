package steps

import (
	"fmt"
	"runtime"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

// A Run is one run of such work. Its zero value tells nobody.
type Run struct {
	// Progress is told how far each stage has come. It is called from several goroutines.
	Progress func(stage string, done, total int)
	// Step is called before each step on disk. Tests stop there.
	Step func(step string)
}

// Report gives what is told how much of a stage is done; nil when nobody listens.
func (r Run) Report(stage string, total int) func(done int) {
	if r.Progress == nil {
		return nil
	}
	return func(done int) { r.Progress(stage, done, total) }
}

// Say says that a step is about to be done.
func (r Run) Say(format string, a ...any) {
	if r.Step != nil {
		r.Step(fmt.Sprintf(format, a...))
	}
}

// Hook is what package durable calls; nil when nobody listens.
func (r Run) Hook() func(durable.Step) error {
	if r.Step == nil {
		return nil
	}
	return func(s durable.Step) error {
		r.Step(s.Op + " " + s.Path)
		return nil
	}
}

// Workers is how many goroutines do a stage of the work: as many as there are processors, but with a Step one, so that a test can
// stop anywhere and everything happens in order.
func (r Run) Workers() int {
	if r.Step != nil {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}
