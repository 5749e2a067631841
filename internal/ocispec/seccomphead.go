package ocispec

// SeccompHead is what starting a container needs of linux.seccomp besides the compiled filter.
type SeccompHead struct {
	ListenerPath     string // linux.seccomp.listenerPath
	ListenerMetadata string // linux.seccomp.listenerMetadata
	Notify           bool   // an action is SCMP_ACT_NOTIFY: there will be a listener
}

// span is a part of the document: its bytes from start to end.
type span struct{ start, end int }

// ScanSeccomp reads the head of [Config.SeccompRaw] without decoding the profile; [Decode] has done so already. It
// checks the text as JSON, not that the rest of it is a profile. An error is an *[Error].
func ScanSeccomp(raw []byte) (SeccompHead, error) {
	r := seccompReader(raw)
	r.document(r.rawSeccomp)
	if r.err != nil {
		return SeccompHead{}, r.err
	}
	return r.head, nil
}

// seccompReader reads a document that stands for linux.seccomp in its error messages.
func seccompReader(raw []byte) *reader {
	r := &reader{src: string(raw), depth: 2}
	r.path[0] = step{key: "linux", n: 1}
	r.path[1] = step{key: "seccomp", n: 1}
	return r
}

// rawSeccomp passes over linux.seccomp: it keeps where the section stands and its head. It does not look for members
// that are there twice, except of the head: whoever compiles the profile decodes it and finds them.
func (r *reader) rawSeccomp() {
	r.peek()
	start := r.pos
	if !r.object() {
		return
	}
	var seen uint32
	for {
		k, ok := r.key()
		if !ok {
			break
		}
		switch k {
		case "listenerPath":
			r.once(&seen, 0)
			r.string(&r.head.ListenerPath)
		case "listenerMetadata":
			r.once(&seen, 1)
			r.string(&r.head.ListenerMetadata)
		case "defaultAction":
			r.once(&seen, 2)
			r.action()
		case "syscalls":
			r.once(&seen, 3)
			r.actions()
		default:
			r.skip(false)
		}
	}
	r.seccomp = span{start, r.pos}
}

// actions passes over linux.seccomp.syscalls, looking at each action.
func (r *reader) actions() {
	if !r.array("an array of objects") {
		return
	}
	for r.element() {
		if !r.object() {
			continue
		}
		for {
			k, ok := r.key()
			if !ok {
				break
			}
			if k == "action" {
				r.action()
			} else {
				r.skip(false)
			}
		}
	}
}

func (r *reader) action() {
	var s string
	r.string(&s)
	r.head.Notify = r.head.Notify || s == "SCMP_ACT_NOTIFY"
}
