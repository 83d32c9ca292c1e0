ARGUMENT(same_frame, struct facet_altp2m_same_frame)
VIEW_FIELD(same_frame, view)
FIELD(same_frame, first_gfn, IN, GFN)
FIELD(same_frame, second_gfn, IN, GFN)
FIELD(same_frame, same, OUT, SWITCH)

