package hint

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type curable struct {
	hints []string
	cause error
}

func (curable) Error() string     { return "it is broken" }
func (c curable) Hints() []string { return c.hints }
func (c curable) Unwrap() error   { return c.cause }

func TestHintsAreThoseOfAllCauses(t *testing.T) {
	inner := curable{[]string{"c"}, nil}
	err := fmt.Errorf("doing: %w", curable{[]string{"a", "b"}, errors.Join(inner, errors.New("x"), curable{[]string{"d"}, nil})})
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, Of(err)); d != "" {
		t.Error(d)
	}
	if got := Of(nil); got != nil {
		t.Error(got)
	}
}

func TestAWordIsOneForTheShell(t *testing.T) {
	for path, want := range map[string]string{
		"/etc/pki/CA/cacert.pem": "/etc/pki/CA/cacert.pem",
		"":                       "''",
		"-rf":                    "./-rf",
		"a b":                    "'a b'",
		"it's":                   `'it'\''s'`,
		"$(reboot);`reboot`\n&":  "'$(reboot);`reboot`\n&'",
		"~root":                  "'~root'",
		"käse":                   "'käse'",
	} {
		if got := Word(path); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
		read, err := exec.Command("sh", "-c", `printf %s\\n `+Word(path)+`; printf .`).Output()
		if meant := path; err != nil || string(read) != meant+"\n." && string(read) != "./"+meant+"\n." {
			t.Errorf("%q: the shell reads %q (%v)", path, read, err)
		}
	}
}
