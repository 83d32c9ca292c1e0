CASE(compares_a_monitors_frames),
