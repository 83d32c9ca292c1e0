
/*
 * Whether two gfns of a view show the same frame. In view 0: of the host map. -EINVAL: no such
 * view, or a gfn beyond the address width; -ESRCH: one of them shows no memory.
 */
#define FACET_ALTP2M_same_frame 0x80NNu

struct facet_altp2m_same_frame {
    uint16_t view;       /* in */
    uint8_t pad[6];      /* in: 0 */
    uint64_t first_gfn;  /* in */
    uint64_t second_gfn; /* in */
    uint8_t same;        /* out: 0 or 1 */
    uint8_t pad2[7];     /* in: 0 */
};
