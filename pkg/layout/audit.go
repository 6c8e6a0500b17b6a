package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
)

// A Report is what an audit found.
type Report struct {
	Findings []finding.Finding
	// Present names the roles of which a certificate or a key is there.
	Present []certs.Role
	// CA reports that the CA file is there.
	CA bool
	// Unchecked says what could not be looked at, and why.
	Unchecked []string

	shown func(path string) string
}

// Audit looks at owner, mode and kind of everything that belongs into the place, below the root that fsys is
// (os.OpenRoot's FS does not follow links out of it). It follows no link in the last component of a path. What is missing
// is no finding here: see package verify. uid is the user who should own what is not the system's; a negative uid leaves
// owners out.
//
// shown gives the name by which a path is called here, in findings and in the commands that cure them, where the root is not
// this machine's /; nil: as it stands.
func Audit(fsys fs.FS, p Place, uid int, shown func(path string) string) Report {
	if shown == nil {
		shown = func(path string) string { return path }
	}
	r := Report{shown: shown}
	closed := false // a directory above could not be entered
	items := p.Items(certs.Server, certs.Client)
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		for _, f := range p.Indexed(role) {
			items = append(items, p.pair(role, f)...)
		}
	}
	for _, item := range items {
		info, err := fs.Lstat(fsys, below(item.Path))
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue
		case err != nil:
			if !closed {
				r.Unchecked = append(r.Unchecked, fmt.Sprintf("%s: %v", shown(item.Path), durable.Reason(err)))
			}
			closed = true
			continue
		}
		if item.Role != 0 {
			r.present(item.Role)
		}
		r.CA = r.CA || item.Part == CACert
		r.judge(p, item, info, uid)
	}
	if p.Kind == User {
		stray := path.Join(p.Dir, ".pki/cacert.pem")
		if _, err := fs.Lstat(fsys, below(stray)); err == nil && !r.CA {
			right := shown(p.Paths(certs.Client).CA)
			r.add(ruleDocumentedPlace, shown(stray), "it is never read; libvirt looks for "+right,
				fmt.Sprintf("mv %s %s", hint.Word(shown(stray)), hint.Word(right)))
		}
	}
	return r
}

// below turns an absolute path into one of an fs.FS.
func below(path string) string {
	if s := strings.Trim(path, "/"); s != "" {
		return s
	}
	return "."
}

func (r *Report) present(role certs.Role) {
	for _, p := range r.Present {
		if p == role {
			return
		}
	}
	r.Present = append(r.Present, role)
}

func (r *Report) add(rule finding.Rule, path, message, remedy string) {
	f := rule.Finding(path, message)
	f.Remedy = remedy
	r.Findings = append(r.Findings, f)
}

// judge compares one thing that is there with what should be.
func (r *Report) judge(p Place, item Item, info fs.FileInfo, uid int) {
	mode := info.Mode()
	name := r.shown(item.Path)
	if mode&fs.ModeSymlink != 0 {
		r.add(ruleLink, name, "it is a symbolic link; libvirt follows it, virt-pki does not write through it", "")
		return
	}
	if item.Part == Directory && !mode.IsDir() {
		r.add(ruleKindOfFile, name, fmt.Sprintf("it is %s, not a directory", kindOf(mode)), "")
		return
	}
	if item.Part != Directory && !mode.IsRegular() {
		r.add(ruleKindOfFile, name, fmt.Sprintf("it is %s, not a file", kindOf(mode)), "")
		return
	}
	owner, group, hasOwner := owners(info)
	if hasOwner && uid >= 0 {
		want := uid
		if item.System {
			want = 0
		}
		if owner != want {
			r.add(ruleOwner, name, fmt.Sprintf("it belongs to user %d, not to user %d", owner, want),
				fmt.Sprintf("chown %d:%d %s", want, want, hint.Word(name)))
		} else if want == 0 && group != 0 && !p.Kind.ForQEMU() && !item.Shared {
			// Of other users nobody here knows the group.
			r.add(ruleValidatorMode, name, fmt.Sprintf("it belongs to group %d; virt-pki-validate accepts group 0 only, libvirt itself any", group),
				"chgrp 0 "+hint.Word(name))
		}
	}
	perm := mode.Perm()
	chmod := fmt.Sprintf("chmod %04o %s", item.Mode, hint.Word(name))
	switch {
	case perm&0o022&^item.Mode != 0 && !(item.Part == Directory && mode&fs.ModeSticky != 0):
		r.add(ruleWritable, name, fmt.Sprintf("its mode is %04o: others can replace what libvirt trusts; it should be %04o",
			perm, item.Mode), chmod)
	case item.Part == Key && perm&0o044&^item.Mode != 0:
		if p.Kind.ForQEMU() && perm&0o004 == 0 && perm&0o040 != 0 {
			// The group is QEMU's, we were only not told its name.
			break
		}
		r.add(ruleKeyReadable, name, fmt.Sprintf("its mode is %04o: others can read the private key; it should be %04o",
			perm, item.Mode), chmod)
	case item.Part == Directory && item.System && perm&0o005 != 0o005:
		r.add(ruleClosedDirectory, name, fmt.Sprintf("its mode is %04o: users other than root find nothing below it; it should be %04o",
			perm, item.Mode), chmod)
	case item.Part != Directory && item.Part != Key && item.System && perm&0o004 == 0:
		r.add(ruleClosedFile, name, fmt.Sprintf("its mode is %04o: users other than root cannot read it; it should be %04o",
			perm, item.Mode), chmod)
	case perm != item.Mode.Perm() && !p.Kind.ForQEMU() && !item.Shared:
		r.add(ruleValidatorMode, name, fmt.Sprintf("its mode is %04o; virt-pki-validate accepts %04o only, libvirt itself any",
			perm, item.Mode), chmod)
	}
	if p.Kind.ForQEMU() && item.Part == Key && hasOwner && group == 0 && perm&0o004 == 0 {
		r.add(ruleQEMUKey, name, "only root can read it, but QEMU runs as another user (libvirt-qemu or qemu)",
			fmt.Sprintf("chgrp kvm %s; chmod 0640 %s    (Fedora: chgrp qemu)", hint.Word(name), hint.Word(name)))
	}
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else (" + strconv.Quote(m.String()) + ")"
}

// owners gives the owner and group where the file system has them.
func owners(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
