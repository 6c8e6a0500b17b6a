package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// exitStatus is the script command "status N PROGRAM ARG...": runs it and wants exactly that exit status. Output goes
// where exec's does, so that stdout and stderr can look at it.
func exitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	if err != nil {
		ts.Fatalf("status: %q is no number", args[0])
	}
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var e *exec.ExitError
	switch {
	case errors.As(err, &e):
		got = e.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// fileMode is the script command "mode OCTAL FILE...": wants exactly these permissions.
func fileMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mode octal file...")
	}
	for _, name := range args[1:] {
		st, err := os.Lstat(ts.MkAbs(name))
		if err != nil {
			ts.Fatalf("%v", err)
		}
		if got := fmt.Sprintf("%04o", st.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", name, got, args[0])
		}
	}
}

// sameJSON is the script command "json stdout|FILE WANT": the two are the same JSON values, nulls, empty arrays and the
// presence of every member included. In WANT the string "..." stands for any value, and a member "..." for any further
// members.
func sameJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: json stdout|file want")
	}
	var got, want any
	for _, side := range []struct {
		name string
		into *any
	}{{args[0], &got}, {args[1], &want}} {
		d := json.NewDecoder(strings.NewReader(ts.ReadFile(side.name)))
		d.UseNumber()
		if err := d.Decode(side.into); err != nil {
			ts.Fatalf("%s: %v", side.name, err)
		}
		if d.More() {
			ts.Fatalf("%s holds more than one JSON value", side.name)
		}
	}
	if difference := differJSON("", got, want); difference != "" {
		ts.Fatalf("%s: %s", args[0], difference)
	}
}

// differJSON gives the first difference, or "".
func differJSON(at string, got, want any) string {
	if want == "..." {
		return ""
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("at %q is %v, want an object", at, got)
		}
		_, open := w["..."]
		for k := range g {
			if _, ok := w[k]; !ok && !open {
				return fmt.Sprintf("at %q is a member %q that is not wanted", at, k)
			}
		}
		for k, v := range w {
			if k == "..." {
				continue
			}
			if _, ok := g[k]; !ok {
				return fmt.Sprintf("at %q is no member %q", at, k)
			}
			if d := differJSON(at+"."+k, g[k], v); d != "" {
				return d
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("at %q is %v, want %v", at, got, w)
		}
		for i := range w {
			if d := differJSON(fmt.Sprintf("%s[%d]", at, i), g[i], w[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if got != want {
		return fmt.Sprintf("at %q is %#v, want %#v", at, got, want)
	}
	return ""
}

// asNobody is the script command "nobody N PROGRAM ARG...": status as a user without privileges.
func asNobody(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: nobody N program [args...]")
	}
	if os.Geteuid() == 0 {
		// The programs of testscript.Main lie in a directory that only this user can enter.
		bin := ts.MkAbs(".nobody")
		ts.Check(os.MkdirAll(bin, 0o755))
		program := filepath.Join(bin, args[1])
		if _, err := os.Stat(program); err != nil {
			self, err := os.Executable()
			ts.Check(err)
			text, err := os.ReadFile(self)
			ts.Check(err)
			ts.Check(os.WriteFile(program, text, 0o755))
		}
		args = append([]string{args[0], "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program}, args[2:]...)
	}
	exitStatus(ts, false, args)
}

// runNext is the script command "next FILE": it runs the commands that init and issue print under "next:", in the order
// printed; what needs another machine is left to stubs in PATH. Each must succeed, or end as the script says: "next FILE
// N..." gives the exit statuses.
func runNext(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: next file [status...]")
	}
	_, block, ok := strings.Cut(ts.ReadFile(args[0]), "\nnext:\n")
	if !ok {
		ts.Fatalf("%s names no next commands", args[0])
	}
	var statuses []string
	for _, line := range strings.Split(block, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		want := "0"
		if n := len(statuses) + 1; n < len(args) {
			want = args[n]
		}
		statuses = append(statuses, want)
		exitStatus(ts, false, []string{want, "bash", "-o", "pipefail", "-c", line})
	}
	if len(statuses) < len(args)-1 || len(statuses) == 0 {
		ts.Fatalf("%d commands are printed, %d were expected", len(statuses), len(args)-1)
	}
}

// makeStuck is the script command "stuck AUTHORITY NAME [FILE]": it has a client's certificate signed and recorded as a run
// does that is killed an hour ago, before it has put the files in their place, or, with FILE, right after.
func makeStuck(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: stuck authority name [file]")
	}
	ctx := context.Background()
	opened, err := ca.Open(ctx, ts.MkAbs(args[0]))
	ts.Check(err)
	defer opened.Close()
	text, err := os.ReadFile(filepath.Join(ts.MkAbs(args[0]), "private/cakey.pem"))
	ts.Check(err)
	key, err := certs.ParseKey(text, nil)
	ts.Check(err)
	a, err := ca.New(opened.CertDER(), key, opened.Policy(), anHourAgo{opened.Inventory()})
	ts.Check(err)
	subject, err := dn.Parse("CN=" + args[1])
	ts.Check(err)
	p, err := a.Prepare(time.Now(), ca.Order{Request: certs.Request{Role: certs.Client, Subject: subject}, Host: args[1], Layout: "libvirt"})
	ts.Check(err)
	issued, err := a.Issue(ctx, p)
	ts.Check(err)
	if len(args) == 3 {
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), issued.PEM(), 0o644))
	}
}

// anHourAgo records as if it was an hour ago.
type anHourAgo struct{ *inventory.Inventory }

func (r anHourAgo) Record(ctx context.Context, entries ...inventory.Entry) error {
	for i := range entries {
		entries[i].Created = entries[i].Created.Add(-time.Hour)
	}
	return r.Inventory.Record(ctx, entries...)
}
