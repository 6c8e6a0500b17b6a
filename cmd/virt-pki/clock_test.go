package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestIssuingAtTheWrongTime lets the clock be before the CA's beginning, and behind its end.
func TestIssuingAtTheWrongTime(t *testing.T) {
	t.Chdir(t.TempDir())
	made := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(now time.Time, args ...string) called {
		var out, errs bytes.Buffer
		p := &program{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, getenv: func(string) string { return "" },
			now: func() time.Time { return now }}
		rc := p.run(t.Context(), append([]string{"virt-pki"}, args...))
		return called{args, rc, out.String(), errs.String()}
	}
	if c := at(made, "init", "--out", "cluster", "--client", "admin", "--ca-lifetime", "2y", "-q"); c.RC != 0 {
		t.Fatal(c)
	}
	for _, test := range []struct {
		name string
		now  time.Time
		want string
	}{
		{"the CA has expired", made.AddDate(3, 0, 0), "2032-01-01"},
		{"the clock is before the CA's notBefore", made.AddDate(0, 0, -1), "2030-01-01"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := at(test.now, "issue", "client", "bob", "--out", "cluster")
			if c.RC != exitIncomplete || c.Out != "" || !strings.HasPrefix(c.Err, "virt-pki: error: ") || !strings.Contains(c.Err, test.want) ||
				!strings.Contains(c.Err, "virt-pki: hint: ") {
				t.Errorf("exit status %d, stdout %q, stderr %q", c.RC, c.Out, c.Err)
			}
			t.Log(c.Err)
		})
	}
	// Near its end an identity ends with the CA, and that is said.
	c := at(made.AddDate(1, 11, 0), "issue", "client", "carol", "--out", "cluster")
	if c.RC != 0 || !strings.Contains(c.Out, "[identity-ends-with-authority]") || !strings.Contains(c.Out, "until 2032-01-01") {
		t.Errorf("%+v", c)
	}
}
