package steps

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
)

func TestARunTellsWhoListens(t *testing.T) {
	var quiet Run
	quiet.Say("nobody hears %s", "this")
	if quiet.Report("issuing", 3) != nil || quiet.Hook() != nil || quiet.Workers() != runtime.GOMAXPROCS(0) {
		t.Error("a run that tells nobody is asked to")
	}
	var heard []string
	r := Run{Progress: func(stage string, done, total int) { heard = append(heard, fmt.Sprint(stage, " ", done, "/", total)) },
		Step: func(step string) { heard = append(heard, step) }}
	r.Say("mark %d%%", 50)
	r.Report("issuing", 3)(2)
	if err := r.Hook()(durable.Step{Op: "rename", Path: "a"}); err != nil {
		t.Error(err)
	}
	if got := strings.Join(heard, ", "); got != "mark 50%, issuing 2/3, rename a" || r.Workers() != 1 {
		t.Errorf("%s; %d workers", got, r.Workers())
	}
}
