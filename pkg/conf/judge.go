package conf

import "errors"

// A Refusal is libvirt's no to a file: a *[ParseError] or a *[FatalError]. Its text is libvirt's own.
type Refusal interface {
	error
	// ExitStatus is the status with which a daemon ends.
	ExitStatus() int
	// LogLines gives what a daemon prints, without time stamp, priority and function.
	LogLines() []string
	// Position is where the fault stands; line 0 if it stands nowhere.
	Position() (file string, line int)
}

// Position is the file and libvirt's line number.
func (e *ParseError) Position() (file string, line int) { return e.File, e.Line }

// Position is the file and the line of the setting at fault.
func (e *FatalError) Position() (file string, line int) { return e.File, e.Line }

// Judge reads a file as the program of the kind does and gives the first thing it would stop at, or nil. The file is nil
// where the grammar is at fault. Of a client's file the refusal may concern only some connections, see [ReadClient].
func Judge(b []byte, name string, k Kind, run Run) (*File, Refusal) {
	f, err := ParseFor(b, name, run.Libvirt)
	if err == nil {
		switch {
		case k.Daemon():
			_, err = ReadDaemon(f, k, run)
		case k == QEMU:
			_, err = ReadQEMU(f, run.Libvirt, nil)
		case k == Client || k == Admin:
			if p := ReadClient(f, k).Problems; len(p) > 0 {
				err = p[0].FatalError
			}
		}
	}
	var r Refusal
	if errors.As(err, &r) {
		return f, r
	}
	return f, nil
}
