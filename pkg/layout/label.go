package layout

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
	"github.com/virt-pki/virt-pki/pkg/selinux"
)

// ErrNoLabel says that a file has no SELinux label, or lies on a file system that has none.
var ErrNoLabel = errors.New("no SELinux label")

// labelTypes are the types with which certificates are labelled in a place of the system, where the policy is not at hand.
var labelTypes = []string{"cert_t", "virt_cert_t"}

// Labels are what is known of the SELinux labels of a machine.
type Labels struct {
	// Read gives a file's label, or ErrNoLabel, by the file's name on its machine; see [Label].
	Read func(path string) (string, error)
	// Expected gives the label that the policy has for a file, empty: none; see selinux.Policy. nil: the policy is not at hand.
	Expected func(path string, kind fs.FileMode) (string, error)
	// Customizable reports whether restorecon leaves a type alone unless it is forced; nil: none.
	Customizable func(kind string) bool
	// Mode says whether SELinux is enforced.
	Mode selinux.Mode
}

// on reports whether there is SELinux on the machine.
func (l Labels) on() bool { return l.Mode == selinux.Enforcing || l.Mode == selinux.Permissive }

// AuditLabels looks at the SELinux labels of what is there of a place. They are compared with those that the machine's policy has; where
// the policy is not at hand, those of the system's places with cert_t, which is usual, and users' and other directories are not looked
// at. A file without a label is reported where there is SELinux. fsys and shown are as for [Audit]. unchecked says what could
// not be judged.
func AuditLabels(fsys fs.FS, p Place, l Labels, shown func(path string) string) (found []finding.Finding, unchecked []string) {
	if l.Mode == selinux.Disabled || l.Expected == nil && !p.system() {
		return nil, nil
	}
	r := Report{shown: shown}
	for _, item := range p.Items(certs.Server, certs.Client) {
		info, err := fs.Lstat(fsys, below(item.Path))
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		unchecked = append(unchecked, l.judge(&r, item, info.Mode(), shown(item.Path))...)
	}
	return r.Findings, unchecked
}

// FileLabels is AuditLabels for files wherever they lie; they are only compared with the policy.
func FileLabels(fsys fs.FS, files []string, l Labels, shown func(path string) string) (found []finding.Finding, unchecked []string) {
	if l.Mode == selinux.Disabled || l.Expected == nil {
		return nil, nil
	}
	r := Report{shown: shown}
	for _, name := range files {
		if !strings.HasPrefix(name, "/") {
			continue
		}
		if info, err := fs.Lstat(fsys, below(name)); err == nil && info.Mode()&fs.ModeSymlink == 0 {
			unchecked = append(unchecked, l.judge(&r, Item{Path: name}, info.Mode(), shown(name))...)
		}
	}
	return r.Findings, unchecked
}

// judge compares the label of one file.
func (l Labels) judge(r *Report, item Item, kind fs.FileMode, name string) (unchecked []string) {
	context, err := l.Read(item.Path)
	if err != nil && (!errors.Is(err, ErrNoLabel) || !l.on()) {
		return nil
	}
	is := "it has no SELinux label"
	if err == nil {
		is = "its SELinux type is " + typeOf(context)
	}
	if l.Expected == nil {
		l.unusual(r, item, name, is, context)
		return nil
	}
	want, err := l.Expected(item.Path, kind)
	if err != nil {
		return []string{fmt.Sprintf("%s: its SELinux label: %s", name, err)}
	}
	if want == "" || selinux.TypeOf(want) == selinux.TypeOf(context) {
		return nil // the policy sets none, or that
	}
	remedy := "restorecon -v "
	if l.Customizable != nil && l.Customizable(selinux.TypeOf(context)) {
		remedy = "restorecon -F -v "
	}
	message := fmt.Sprintf("%s; the policy's for it is %s", is, selinux.TypeOf(want))
	if l.Mode == selinux.Permissive {
		message += " (SELinux is permissive here: what the policy denies is only logged)"
	}
	r.add(ruleLabel, name, message, remedy+hint.Word(name))
	return nil
}

// unusual notes a type that is unusual for certificates.
func (l Labels) unusual(r *Report, item Item, name, is, context string) {
	switch kind := selinux.TypeOf(context); {
	case slices.Contains(labelTypes, kind):
	case item.Part == Directory && kind == "etc_t":
		// /etc's own type, which every program may read.
	case (item.Part == Key || item.Part == Directory) && kind == "tls_privkey_t":
		// Of the reference policy, for /etc/pki/*/private.
	default:
		r.add(ruleLabel, name, is+"; cert_t is usual", "restorecon -v "+hint.Word(name))
		r.Findings[len(r.Findings)-1].Severity = finding.Note
	}
}

// typeOf takes the type out of a context: user:role:type:level.
func typeOf(context string) string {
	if kind := selinux.TypeOf(context); kind != "" {
		return kind
	}
	return fmt.Sprintf("unreadable (%q)", context)
}
