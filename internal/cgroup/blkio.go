package cgroup

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// blkioFields reports whether an I/O limit is set, and the first such field.
func blkioFields(b *specs.LinuxBlockIO) (string, bool) {
	switch {
	case b == nil:
	case isSetW(b.Weight):
		return "blockIO.weight", true
	case isSetW(b.LeafWeight):
		return "blockIO.leafWeight", true
	case len(b.WeightDevice) > 0:
		return "blockIO.weightDevice", true
	}
	if b != nil {
		for _, t := range throttles(b) {
			if len(t.list) > 0 {
				return t.field, true
			}
		}
	}
	return "", false
}

func isSetW(p *uint16) bool { return p != nil && *p != 0 }

type throttle struct {
	field, v1, v2 string
	list          []specs.LinuxThrottleDevice
}

func throttles(b *specs.LinuxBlockIO) [4]throttle {
	return [4]throttle{
		{"blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps", b.ThrottleReadBpsDevice},
		{"blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops", b.ThrottleReadIOPSDevice},
		{"blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

func devNumber(d specs.LinuxBlockIODevice) string {
	return strconv.FormatInt(d.Major, 10) + ":" + strconv.FormatInt(d.Minor, 10)
}

// setEither writes into the CFQ file of old kernels, or the BFQ file of those since 5.0.
func setEither(field, dir, cfq, bfq, value string) error {
	err := writeFile(dir, cfq, value)
	if errors.Is(err, unix.ENOENT) {
		err = writeFile(dir, bfq, value)
	}
	if err != nil {
		return &LimitError{Field: field, Value: value, Err: err}
	}
	return nil
}

func setBlkioV1(dir string, b *specs.LinuxBlockIO) error {
	if isSetW(b.Weight) {
		if err := setEither("blockIO.weight", dir, "blkio.weight", "blkio.bfq.weight", strconv.Itoa(int(*b.Weight))); err != nil {
			return err
		}
	}
	if isSetW(b.LeafWeight) {
		if err := set("blockIO.leafWeight", dir, "blkio.leaf_weight", strconv.Itoa(int(*b.LeafWeight))); err != nil {
			return err
		}
	}
	for i := range b.WeightDevice {
		d := &b.WeightDevice[i]
		if isSetW(d.Weight) {
			v := devNumber(d.LinuxBlockIODevice) + " " + strconv.Itoa(int(*d.Weight))
			if err := setEither("blockIO.weightDevice", dir, "blkio.weight_device", "blkio.bfq.weight_device", v); err != nil {
				return err
			}
		}
		if isSetW(d.LeafWeight) {
			v := devNumber(d.LinuxBlockIODevice) + " " + strconv.Itoa(int(*d.LeafWeight))
			if err := set("blockIO.weightDevice", dir, "blkio.leaf_weight_device", v); err != nil {
				return err
			}
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.list {
			v := devNumber(d.LinuxBlockIODevice) + " " + strconv.FormatUint(d.Rate, 10)
			if err := set(t.field, dir, t.v1, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// ioWeight converts blockIO.weight of v1 (10 to 1000) to io.weight of v2 (1 to 10000).
func ioWeight(w uint16) uint64 {
	if w <= 10 {
		return 1
	}
	return 1 + (uint64(w)-10)*9999/990
}

// setIOWeight takes io.bfq.weight where the BFQ scheduler is there, io.weight (of the iocost
// controller) otherwise. prefix is "" or "MAJ:MIN ".
func setIOWeight(field, dir, prefix string, w uint16) error {
	v := prefix + strconv.Itoa(int(w))
	err := writeFile(dir, "io.bfq.weight", v)
	if errors.Is(err, unix.ENOENT) {
		v = prefix + strconv.FormatUint(ioWeight(w), 10)
		err = writeFile(dir, "io.weight", v)
	}
	if err != nil {
		return &LimitError{Field: field, Value: v, Err: err}
	}
	return nil
}

func setIOV2(dir string, b *specs.LinuxBlockIO) error {
	if isSetW(b.LeafWeight) {
		return &LimitError{Field: "blockIO.leafWeight", Err: errNotOnV2}
	}
	if isSetW(b.Weight) {
		if err := setIOWeight("blockIO.weight", dir, "", *b.Weight); err != nil {
			return err
		}
	}
	for i := range b.WeightDevice {
		d := &b.WeightDevice[i]
		if isSetW(d.LeafWeight) {
			return &LimitError{Field: "blockIO.weightDevice", Err: errNotOnV2}
		}
		if isSetW(d.Weight) {
			if err := setIOWeight("blockIO.weightDevice", dir, devNumber(d.LinuxBlockIODevice)+" ", *d.Weight); err != nil {
				return err
			}
		}
	}
	for _, t := range throttles(b) {
		for _, d := range t.list {
			rate := "max" // v1 lifts a limit by 0
			if d.Rate != 0 {
				rate = strconv.FormatUint(d.Rate, 10)
			}
			if err := set(t.field, dir, "io.max", devNumber(d.LinuxBlockIODevice)+" "+t.v2+"="+rate); err != nil {
				return err
			}
		}
	}
	return nil
}

// statBlkioV1 takes the first family of files that has content, the richest first, as runc.
func statBlkioV1(dir string, s *BlkioStats) error {
	for _, family := range []struct {
		prefix, suffix string
		full           bool // all eight tables; two otherwise
	}{
		{"blkio.bfq.", "_recursive", true}, // with CONFIG_BFQ_CGROUP_DEBUG
		{"blkio.bfq.", "_recursive", false},
		{"blkio.", "_recursive", true}, // CFQ
		{"blkio.throttle.", "_recursive", false},
		{"blkio.throttle.", "", false},
	} {
		tables := []struct {
			file string
			to   *[]BlkioEntry
		}{
			{"io_serviced", &s.IoServicedRecursive},
			{"io_service_bytes", &s.IoServiceBytesRecursive},
		}
		if family.full {
			tables = append(tables[:0:0], []struct {
				file string
				to   *[]BlkioEntry
			}{
				{"sectors", &s.SectorsRecursive},
				{"io_service_time", &s.IoServiceTimeRecursive},
				{"io_wait_time", &s.IoWaitTimeRecursive},
				{"io_merged", &s.IoMergedRecursive},
				{"io_queued", &s.IoQueuedRecursive},
				{"time", &s.IoTimeRecursive},
				tables[0], tables[1],
			}...)
		}
		for i, t := range tables {
			list, err := blkioTable(dir, family.prefix+t.file+family.suffix)
			if len(list) == 0 || err != nil {
				if i == 0 {
					break
				}
				return err
			}
			*t.to = list
			if i == len(tables)-1 {
				return nil
			}
		}
	}
	return nil
}

// blkioTable parses lines "8:0 Read 1282048" and "8:0 6792"; the line "Total N" is skipped.
func blkioTable(dir, file string) ([]BlkioEntry, error) {
	text, err := readFile(dir, file)
	if err != nil {
		if isAbsent(err) {
			return nil, nil
		}
		return nil, err
	}
	var list []BlkioEntry
	for line := range strings.Lines(text) {
		f := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == ':' || r == '\n' })
		if len(f) < 3 {
			if len(f) == 0 || f[0] == "Total" {
				continue
			}
			return nil, fmt.Errorf("parse %s/%s: line %q", dir, file, line)
		}
		var e BlkioEntry
		var err1, err2, err3 error
		e.Major, err1 = strconv.ParseUint(f[0], 10, 64)
		e.Minor, err2 = strconv.ParseUint(f[1], 10, 64)
		if len(f) > 3 {
			e.Op = f[2]
		}
		e.Value, err3 = strconv.ParseUint(f[len(f)-1], 10, 64)
		if err := errors.Join(err1, err2, err3); err != nil {
			return nil, fmt.Errorf("parse %s/%s: line %q", dir, file, line)
		}
		list = append(list, e)
	}
	return list, nil
}

// statIOV2 turns io.stat ("8:0 rbytes=1 wbytes=2 rios=3 wios=4 …") into the v1 tables.
func statIOV2(dir string, s *BlkioStats) error {
	text, err := readFile(dir, "io.stat")
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		maj, mnr, ok := strings.Cut(f[0], ":")
		major, err1 := strconv.ParseUint(maj, 10, 64)
		minor, err2 := strconv.ParseUint(mnr, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			continue // "(unknown)" on some kernels
		}
		for _, item := range f[1:] {
			key, num, _ := strings.Cut(item, "=")
			n, err := strconv.ParseUint(num, 10, 64)
			if err != nil {
				continue
			}
			e := BlkioEntry{Major: major, Minor: minor, Value: n}
			switch key {
			case "rbytes", "rios":
				e.Op = "Read"
			case "wbytes", "wios":
				e.Op = "Write"
			default:
				continue
			}
			if strings.HasSuffix(key, "bytes") {
				s.IoServiceBytesRecursive = append(s.IoServiceBytesRecursive, e)
			} else {
				s.IoServicedRecursive = append(s.IoServicedRecursive, e)
			}
		}
	}
	return nil
}
