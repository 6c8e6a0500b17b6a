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
)

// ErrNoLabel says that a file has no SELinux label, or lies on a file system that has none.
var ErrNoLabel = errors.New("no SELinux label")

// labelTypes are the types with which certificates are labelled in a place of the system.
var labelTypes = []string{"cert_t", "virt_cert_t"}

// AuditLabels looks at the SELinux labels of what is there of a place of the system; users' and other directories have
// labels of their own. label gives a file's label, or ErrNoLabel, by the file's name on its machine; see [Label]. enforced says
// that the machine has SELinux: then a file without a label is reported, too. fsys and shown are as for [AuditAs].
func AuditLabels(fsys fs.FS, p Place, enforced bool, label func(path string) (string, error), shown func(path string) string) []finding.Finding {
	if !p.system() {
		return nil
	}
	r := Report{shown: shown}
	for _, item := range p.Items(certs.Server, certs.Client) {
		info, err := fs.Lstat(fsys, below(item.Path))
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			continue
		}
		context, err := label(item.Path)
		name := shown(item.Path)
		remedy := "restorecon -v " + hint.Word(name)
		switch kind := typeOf(context); {
		case errors.Is(err, ErrNoLabel) && enforced:
			r.add(ruleLabel, name, "it has no SELinux label; cert_t is usual", remedy)
		case err != nil || slices.Contains(labelTypes, kind):
		case item.Part == Directory && kind == "etc_t":
			// /etc's own type, which every program may read.
		default:
			r.add(ruleLabel, name, fmt.Sprintf("its SELinux type is %s; cert_t is usual", kind), remedy)
		}
	}
	return r.Findings
}

// typeOf takes the type out of a context: user:role:type:level.
func typeOf(context string) string {
	parts := strings.SplitN(strings.TrimRight(context, "\x00"), ":", 4)
	if len(parts) < 3 {
		return fmt.Sprintf("unreadable (%q)", context)
	}
	return parts[2]
}
